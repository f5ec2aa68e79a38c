"""Registry of implementations by name: built-in, registered, or advertised by other packages."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from archsim.errors import UnknownNameError

T = TypeVar("T")


class Registry(Generic[T]):
    """Table of named items of one kind, extensible by plug-ins through an entry-point group."""

    def __init__(self, kind: str, group: str) -> None:
        self.kind = kind
        self.group = group
        self._items: dict[str, T] = {}
        self._plugins_loaded = False

    def add(self, name: str, item: T) -> T:
        """Register and return `item`; a later registration under the same name replaces it."""
        self._items[name] = item
        return item

    def get(self, name: str) -> T:
        """Return the item called `name`; raise UnknownNameError with the known names if there is none."""
        if name not in self._items:
            self._load_plugins()
        if name not in self._items:
            raise UnknownNameError(
                self.kind, name, self._items, also=f"a plug-in of the entry-point group {self.group}"
            )
        return self._items[name]

    def __iter__(self) -> Iterator[str]:
        self._load_plugins()
        return iter(sorted(self._items))

    def _load_plugins(self) -> None:
        if self._plugins_loaded:
            return
        self._plugins_loaded = True
        for point in entry_points(group=self.group):
            self._items.setdefault(point.name, point.load())
