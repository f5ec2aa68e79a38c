"""pydantic's findings in one plain sentence: which field, which value, what would be accepted."""

from __future__ import annotations

from typing import Any

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
    for part in path:
        if isinstance(part, int):
            continue
        annotation = model.model_fields[part].annotation
        candidates = [annotation, *getattr(annotation, "__args__", ())]
        model = next(c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel))
    return list(model.model_fields)
