"""Names to implementations: built-in ones, registered ones, and those other packages advertise."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from archsim.errors import UnknownNameError

T = TypeVar("T")


class Registry(Generic[T]):
    """A table of named things of one kind, open to plug-ins through an entry-point group."""

    def __init__(self, kind: str, group: str) -> None:
        self.kind, self.group = kind, group
        self._items: dict[str, T] = {}
        self._advertised_loaded = False

    def add(self, name: str, item: T) -> T:
        """Register `item`; a later registration of the same name replaces the earlier one."""
        self._items[name] = item
        return item

    def get(self, name: str) -> T:
        """Return the item called `name`; UnknownNameError lists the alternatives."""
        if name not in self._items:
            self._load_advertised()
        if name not in self._items:
            raise UnknownNameError(
                self.kind, name, self._items, also=f"a plug-in of the entry-point group {self.group}"
            )
        return self._items[name]

    def __iter__(self) -> Iterator[str]:
        self._load_advertised()
        return iter(sorted(self._items))

    def _load_advertised(self) -> None:
        if self._advertised_loaded:
            return
        self._advertised_loaded = True
        for point in entry_points(group=self.group):
            self._items.setdefault(point.name, point.load())
