"""pydantic's findings in one plain sentence: which field, which value, what would be accepted."""

from __future__ import annotations

from collections.abc import Mapping
from operator import index
from typing import Any, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from archsim.errors import did_you_mean


class FrozenRecord(BaseModel):
    """A record read from TOML: never changed, and a key it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def whole_number(value: object) -> int | None:
    """Return a whole number of Python's or numpy's as an int; None for anything else, truth values among it."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or getattr(value, "ndim", None):
        return None
    try:
        return index(value)
    except TypeError:
        return None


def plain(value: Any) -> Any:
    """Return a value with numbers and arrays of numpy as Python's own; tables and lists are copied."""
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


_NEEDS = {
    "model_type": "a table of keys, written [{}]",
    "dict_type": "a table of keys, written [{}]",
    "tuple_type": "a list of tables, each written [[{}]]",
}


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Return the first finding as `field = value: reason`, with the nearest known name for an unknown one."""
    # A misspelt key is both unknown and missing; the unknown one is what the user wrote.
    first = min(error.errors(), key=lambda finding: finding["type"] != "extra_forbidden")
    unknown = first["type"] == "extra_forbidden"
    parts, around = _walk(model, first["loc"][:-1] if unknown else first["loc"])
    path = ".".join([*parts, str(first["loc"][-1])] if unknown else parts)
    if unknown:
        known = list(around[0].model_fields)
        return f"unknown key {path!r}{did_you_mean(str(first['loc'][-1]), known)}; known here: {', '.join(known)}"
    if first["type"] == "missing":
        return f"key {path!r} is missing"
    if first["type"] in _NEEDS:
        need = _NEEDS[first["type"]] if around else "a list"
        return f"{path} is a {type(first['input']).__name__}: need {need.format(path)}"
    reason = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error" and isinstance(first["input"], dict):  # about several keys, and names them
        return f"{path}: {reason}" if path else reason
    return f"{path} = {first['input']!r}: {reason[0].lower()}{reason[1:]}" if path else reason


def _walk(model: type[BaseModel], location: tuple[int | str, ...]) -> tuple[list[str], list[type[BaseModel]]]:
    """The parts of a place as its author wrote them, and the models that may stand there."""
    parts, candidates = [], [model]
    for part in location:
        # A union's choice, which pydantic names by its `kind`, stands in no file.
        chosen = [c for c in candidates if part in _kinds(c)]
        if chosen:
            candidates = chosen
            continue
        parts.append(str(part))
        if candidates and part in candidates[0].model_fields:  # else a list's index or a dictionary's key
            candidates = _models_in(candidates[0].model_fields[str(part)].annotation)
    return parts, candidates


def _kinds(model: type[BaseModel]) -> tuple[Any, ...]:
    return get_args(model.model_fields["kind"].annotation) if "kind" in model.model_fields else ()


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models a field may hold, however they are wrapped: `X | None`, `tuple[X, ...]`, `dict[str, X]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]
