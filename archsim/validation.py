"""Validation of records read from TOML, with one plain sentence per error: field, value, what would be accepted."""

from __future__ import annotations

from collections.abc import Mapping
from operator import index
from typing import Any, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from archsim.errors import did_you_mean


class FrozenRecord(BaseModel):
    """Immutable record read from TOML; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def whole_number(value: object) -> int | None:
    """Return an integer of Python or numpy as an int; None for anything else, booleans included."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or getattr(value, "ndim", None):
        return None
    try:
        return index(value)
    except TypeError:
        return None


def plain(value: Any) -> Any:
    """Return a value with numpy's numbers and arrays converted to Python's; tables and lists are copied."""
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
    """Return the first error as `field = value: reason`; suggest the most similar name for an unknown one."""
    # A misspelt key is both unknown and missing, so report the unknown one, which is what the user wrote.
    first = min(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
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
    if first["type"] == "value_error" and isinstance(first["input"], dict):  # it concerns several keys and names them
        return f"{path}: {reason}" if path else reason
    return f"{path} = {first['input']!r}: {reason[0].lower()}{reason[1:]}" if path else reason


def _walk(model: type[BaseModel], location: tuple[int | str, ...]) -> tuple[list[str], list[type[BaseModel]]]:
    """Return the keys of a location as its author wrote them, and the models that may stand there."""
    parts, candidates = [], [model]
    for part in location:
        # pydantic adds the `kind` of a chosen union member to the location, but no file contains it.
        chosen = [c for c in candidates if part in _kinds(c)]
        if chosen:
            candidates = chosen
            continue
        parts.append(str(part))
        if candidates and part in candidates[0].model_fields:  # otherwise an index of a list or a key of a dictionary
            candidates = _models_in(candidates[0].model_fields[str(part)].annotation)
    return parts, candidates


def _kinds(model: type[BaseModel]) -> tuple[Any, ...]:
    return get_args(model.model_fields["kind"].annotation) if "kind" in model.model_fields else ()


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """Return the models that a field may hold, wrapped or not: `X | None`, `tuple[X, ...]`, `dict[str, X]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]
