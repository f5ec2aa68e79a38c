"""TOML text of a grid that was given as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tomlkit
from tomlkit.items import Item, Trivia


def toml_text(tables: Mapping[str, Any]) -> str:
    """Return the TOML text of tables; raise TypeError or ValueError for values that TOML cannot hold."""
    return tomlkit.dumps({key: _quick(value) for key, value in tables.items()})


class _Listed(Item):
    """List of values that is written in one piece, because tomlkit's own list takes minutes for many values."""

    def __init__(self, values: list[Any]) -> None:
        super().__init__(Trivia())
        self._values = values

    def as_string(self) -> str:
        return f"[{', '.join(tomlkit.item(_quick(value)).as_string() for value in self._values)}]"


def _quick(value: Any) -> Any:
    """Return a value whose lists are of `_Listed`; a list of tables stays as it is."""
    if isinstance(value, Mapping):
        return {key: _quick(inner) for key, inner in value.items()}
    if not isinstance(value, list | tuple):
        return value
    tables = any(isinstance(inner, Mapping) for inner in value)
    return [_quick(inner) for inner in value] if tables else _Listed(list(value))
