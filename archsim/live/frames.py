"""Recorded inputs, in memory up to a limit, then in files."""

from __future__ import annotations

import mmap
import shutil
import tempfile
import weakref
from pathlib import Path

import numpy as np

from archsim.errors import RunFailedError
from archsim.kernels.arrays import F32
from archsim.ownership import OwnMap, own

MEMORY_BYTES = 1 << 28
"""Bytes of recorded inputs that stay in memory."""


class FrameStore:
    """Store of float32 arrays. Beyond `memory_bytes` they move to files in a temporary folder.

    The folder is removed by `close`, when nobody uses the store any more, or when the program ends. Arrays that were
    read before stay valid.
    """

    def __init__(self, memory_bytes: int = MEMORY_BYTES) -> None:
        self.memory_bytes = memory_bytes
        self.folder: Path | None = None
        self._arrays: list[F32] = []
        self._first_in_memory = 0
        self._bytes_in_memory = 0
        self._n_files = 0

    def add(self, array: F32) -> int:
        """Keep a copy of an array; return the number that it is found by."""
        self._arrays.append(own(array, np.float32))
        self._bytes_in_memory += array.nbytes
        if self._bytes_in_memory > self.memory_bytes:
            self._write()
        return len(self._arrays) - 1

    def __getitem__(self, number: int) -> F32:
        return self._arrays[number]

    def close(self) -> None:
        """Remove the temporary folder, if there is one. Nothing can be added afterwards that does not fit in memory."""
        if self.folder is not None:
            self._remove()

    def _write(self) -> None:
        """Write all arrays in memory to one file, and map it in their stead."""
        moved = self._arrays[self._first_in_memory :]
        try:
            if self.folder is None:
                self.folder = Path(tempfile.mkdtemp(prefix="archsim-"))
                # Also called at exit. Nothing of `self` is in it, so that the store can be collected.
                self._remove = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
            path = self.folder / f"{self._n_files}.frames"
            with path.open("wb") as file:
                for array in moved:
                    file.write(array.data)
            with path.open("rb") as file:
                mapped = OwnMap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            where = self.folder or tempfile.gettempdir()
            raise RunFailedError(f"{where}: recorded inputs cannot be written there: {error.strerror}") from None
        values, first = np.frombuffer(mapped, np.float32), 0
        for number, array in enumerate(moved, self._first_in_memory):
            self._arrays[number] = values[first : first + array.size].reshape(array.shape)
            first += array.size
        self._first_in_memory, self._bytes_in_memory = len(self._arrays), 0
        self._n_files += 1
