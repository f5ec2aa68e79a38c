"""What a point may choose: the keys of a grid's tables, and the kinds of their values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from archsim.config.arch import ArchSpec, fields_of
from archsim.errors import ConfigError, did_you_mean

Choices = dict[str, Any]
"""What one point chooses, by key; plain JSON values."""
KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    **dict.fromkeys(
        ("network", "trace", "split", "arch", "policy", "precision", "detail", "preset"), ((str,), "a name")
    ),
    **dict.fromkeys(("limit", "seed"), ((int,), "a whole number")),
    "max_loss": ((int, float), "a number"),
    "threshold": ((int, float, list), "a number, or a list of them"),
}
"""What a point may choose, besides any field of the machine as `arch.FIELD`: types, and how to say them."""
CHOICES = tuple(KINDS)
_KNOWN = f"known: {', '.join(CHOICES)}, and any field of the machine as arch.FIELD (archsim show epur)"


Tables = list[tuple[str, dict[str, Any]]]
"""Tables of a grid, each with the name that messages call it."""


def keys_of(tables: Tables) -> Iterator[tuple[str, str]]:
    """Every key, with the table it stands in."""
    return ((where, key) for where, table in tables for key in table)


def check_known(tables: Tables) -> None:
    """ConfigError for a key that nobody knows."""
    fields = {f"arch.{field}" for field in fields_of(ArchSpec())} - {"arch.name", "arch.description"}
    known = {*CHOICES, *fields}
    for where, key in keys_of(tables):
        if key not in known:
            raise ConfigError(f"[{where}] unknown key {key!r}{did_you_mean(key, known)}; {_KNOWN}")


def check_kind(where: str, key: str, value: Any) -> None:
    """ConfigError for a value of another kind than its key takes."""
    types, need = KINDS.get(key, ((bool, int, float, str), "one value"))
    plain = not isinstance(value, bool) or bool in types
    inside = not isinstance(value, list) or all(isinstance(part, int | float | list) for part in value)
    fits = not isinstance(value, int) or abs(value) < 1 << 63
    if not (plain and inside and fits and isinstance(value, types)):
        raise ConfigError(f"[{where}] {key} = {value!r}: need {need}")
    if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
        raise ConfigError(f"[{where}] {key} = {value!r}: need a name in UTF-8, as results are written in")
