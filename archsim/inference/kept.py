"""Things that cost more to make than to keep, up to a number of bytes."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

from archsim.kernels.arrays import F32

T = TypeVar("T")


class ByteCache(Generic[T]):
    """A store of things by key, as far as there is room; any thread may ask."""

    def __init__(self, limit_bytes: int) -> None:
        self.free_bytes = limit_bytes
        self._things: dict[Hashable, T] = {}
        self._lock = Lock()

    def find(self, key: Hashable) -> T | None:
        """Return the thing of this key, or None where it was not kept."""
        return self._things.get(key)

    def keep(self, key: Hashable, thing: T, n_bytes: int) -> None:
        """Keep a thing if there is room for it and none of its key is kept yet."""
        with self._lock:
            if n_bytes <= self.free_bytes and key not in self._things:
                self.free_bytes -= n_bytes
                self._things[key] = thing


class ArrayCache(ByteCache[F32]):
    """Arrays that are made once per key; with `once`, what was found once is dropped to make room."""

    def __init__(self, limit_bytes: int, *, once: bool = False) -> None:
        super().__init__(limit_bytes)
        self.once = once

    def get(self, key: Hashable, make: Callable[[], F32]) -> F32:
        """Return the array of this key, for the caller to use up."""
        if self.once and (last := self._take(key)) is not None:
            return last
        if (found := self.find(key)) is not None:
            return found.copy()
        made = make()
        if made.nbytes <= self.free_bytes:
            self.keep(key, made.copy(), made.nbytes)
        return made

    def _take(self, key: Hashable) -> F32 | None:
        with self._lock:
            found = self._things.pop(key, None)
            self.free_bytes += 0 if found is None else found.nbytes
            return found
