"""Arrays that cost more to make than to keep, up to a number of bytes."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from threading import Lock

from archsim.kernels.arrays import F32


class KeptArrays:
    """What was made under a key once is not made again, as far as there is room; any thread may ask."""

    def __init__(self, limit_bytes: int) -> None:
        self.free_bytes = limit_bytes
        self._arrays: dict[Hashable, F32] = {}
        self._lock = Lock()

    def get(self, key: Hashable, make: Callable[[], F32]) -> F32:
        """Return the array of this key, for the caller to use up."""
        if key in self._arrays:
            return self._arrays[key].copy()
        made = make()
        with self._lock:
            if made.nbytes <= self.free_bytes and key not in self._arrays:
                self.free_bytes -= made.nbytes
                self._arrays[key] = made.copy()
        return made
