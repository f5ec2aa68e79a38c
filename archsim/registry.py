"""Registry of implementations by name: bundled, registered by a user's code, or advertised by other packages."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from archsim.errors import ConfigError, UnknownNameError

T = TypeVar("T")
_NAME = re.compile(r"[\w.+-]+")
"""Names that options may follow, and that may stand in a list: no colons, commas or spaces."""


class Registry(Generic[T]):
    """Table of named items of one kind, extensible by users' code and by an entry-point group of other packages.

    check: returns an item of another package, or raises ConfigError, whose message begins with the text given.
    """

    def __init__(self, kind: str, group: str, check: Callable[[Any, str], T] = lambda item, where: item) -> None:
        self.kind = kind
        self.group = group
        self.items: dict[str, T] = {}
        """Items by name, without those of other packages that nobody has asked for yet."""
        self._check = check
        self._bundled: set[str] = set()
        self._packages_loaded = False

    def bundle(self, name: str, item: T) -> None:
        """Add an item of archsim itself, whose name nobody else may take."""
        self._bundled.add(name)
        self.items[name] = item

    def register(self, item: T, where: str) -> T:
        """Add and return a user's item; a later one of the same name replaces it.

        Raises ConfigError, whose message begins with `where`, for an item that lacks a part or takes a bundled name.
        """
        name = self._checked_name(item, where)
        self.items[name] = item
        return item

    def get(self, name: str) -> T:
        """Return the item called `name`; raise UnknownNameError with the known names if there is none."""
        if name not in self:
            also = f"that of a plug-in: --plugin FILE, or a package with the entry-point group {self.group}"
            raise UnknownNameError(self.kind, name, self.items, also=also)
        return self.items[name]

    def __contains__(self, name: object) -> bool:
        if name not in self.items:
            self._load_packages()
        return name in self.items

    def __iter__(self) -> Iterator[str]:
        self._load_packages()
        return iter(sorted(self.items))

    def _load_packages(self) -> None:
        """Load the items of other packages; an item that is registered already stays."""
        if self._packages_loaded:
            return
        loaded: dict[str, T] = {}
        for point in entry_points(group=self.group):
            where = f"entry point {point.name} = {point.value} of the group {self.group}"
            item = _load(point, where)
            name = self._checked_name(item, where)
            if name != point.name:
                raise ConfigError(f"{where}: the {self.kind} calls itself {name!r}: need one name")
            if loaded.setdefault(name, item) is not item:
                raise ConfigError(f"{where}: another package has a {self.kind} of this name: uninstall one of them")
        self.items = loaded | self.items
        self._packages_loaded = True

    def _checked_name(self, item: T, where: str) -> str:
        """Return the name of an item that has all its parts and a name of its own."""
        name = getattr(self._check(item, where), "name", None)
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ConfigError(f"{where}: name = {name!r}: need letters, digits and . + - _")
        if name in self._bundled:
            raise ConfigError(f"{where}: {name!r} is built in, need another name")
        return name


def _load(point: EntryPoint, where: str) -> Any:
    try:
        return point.load()
    except Exception as error:  # any failure of another package's code is reported as that package's
        raise ConfigError(f"{where} cannot be loaded: {type(error).__name__}: {error}") from error
