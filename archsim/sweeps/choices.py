"""Choices of a point: the keys of a grid's tables, and the types of their values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from archsim.config.arch import ArchSpec, fields_of
from archsim.errors import ConfigError, did_you_mean

Choices = dict[str, Any]
"""Choices of one point by key; plain JSON values."""
KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    **dict.fromkeys(
        ("network", "trace", "split", "arch", "policy", "precision", "detail", "preset"), ((str,), "a name")
    ),
    **dict.fromkeys(("limit", "seed"), ((int,), "a whole number")),
    "max_loss": ((int, float), "a number"),
    "threshold": ((int, float, list), "a number, or a list of them"),
}
"""Types per key, with their words in a message; a point may also choose any field of the machine as `arch.FIELD`."""
CHOICES = tuple(KINDS)
_KNOWN = f"known: {', '.join(CHOICES)}, and any field of the machine as arch.FIELD (archsim show epur)"


Tables = list[tuple[str, dict[str, Any]]]
"""Tables of a grid, each with its name in messages."""


def keys_of(tables: Tables) -> Iterator[tuple[str, str]]:
    """Return every key with the name of its table."""
    return ((where, key) for where, table in tables for key in table)


def check_known(tables: Tables) -> None:
    """Raise ConfigError for an unknown key."""
    fields = {f"arch.{field}" for field in fields_of(ArchSpec())} - {"arch.name", "arch.description"}
    known = {*CHOICES, *fields}
    for where, key in keys_of(tables):
        if key not in known:
            raise ConfigError(f"[{where}] unknown key {key!r}{did_you_mean(key, known)}; {_KNOWN}")


def check_kind(where: str, key: str, value: Any) -> None:
    """Raise ConfigError for a value of another type than its key takes."""
    types, need = KINDS.get(key, ((bool, int, float, str), "one value"))
    plain = not isinstance(value, bool) or bool in types
    inside = not isinstance(value, list) or all(isinstance(part, int | float | list) for part in value)
    fits = not isinstance(value, int) or abs(value) < 1 << 63
    if not (plain and inside and fits and isinstance(value, types)):
        raise ConfigError(f"[{where}] {key} = {value!r}: need {need}")
    if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
        raise ConfigError(f"[{where}] {key} = {value!r}: need a name in UTF-8, as results are written in")
