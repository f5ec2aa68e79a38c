"""pydantic's findings in one plain sentence: which field, which value, what would be accepted."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from archsim.errors import did_you_mean


class FrozenRecord(BaseModel):
    """A record read from TOML: never changed, and a key it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


_NEEDS = {
    "model_type": "a table of keys, written [{}]",
    "dict_type": "a table of keys, written [{}]",
    "tuple_type": "a list of tables, each written [[{}]]",
}


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Return the first finding as `field = value: reason`, with the nearest known name for an unknown one."""
    # A misspelt key is both unknown and missing; the unknown one is what the user wrote.
    first = min(error.errors(), key=lambda finding: finding["type"] != "extra_forbidden")
    path = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = _fields_at(model, first["loc"][:-1])
        return f"unknown key {path!r}{did_you_mean(str(first['loc'][-1]), known)}; known here: {', '.join(known)}"
    if first["type"] == "missing":
        return f"key {path!r} is missing"
    if first["type"] in _NEEDS:
        return f"{path} is a {type(first['input']).__name__}: need {_NEEDS[first['type']].format(path)}"
    reason = first["msg"].removeprefix("Value error, ")
    return f"{path} = {first['input']!r}: {reason[0].lower()}{reason[1:]}" if path else reason


def _fields_at(model: Any, path: tuple[int | str, ...]) -> list[str]:
    candidates = [model]
    for part in path:
        # A list's index and a union's choice, which pydantic names by its `kind`, lead to no field of their own.
        named = [
            c for c in candidates if "kind" in c.model_fields and part in get_args(c.model_fields["kind"].annotation)
        ]
        if isinstance(part, int) or named:
            candidates = named or candidates
            continue
        candidates = _models_in(candidates[0].model_fields[part].annotation)
    return list(candidates[0].model_fields)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models a field may hold, however they are wrapped: `X | None`, `tuple[X, ...]`, `dict[str, X]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]
