"""Named arrays of `.npz` and `.h5` files, checked before memory is allocated for them.

A header may claim any size, so claims are checked against the file. No array may be larger than the stored data can
unpack to, and none may lie in another file.
"""

from __future__ import annotations

import tokenize
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from archsim.errors import TraceError
from archsim.units import ceil_div

Array = np.ndarray[Any, Any]
MAX_UNPACK_RATIO = 256
"""Largest ratio of unpacked to stored bytes, beyond `SMALL_BYTES`; that of features is two or three."""
SMALL_BYTES = 1 << 26
"""Size up to which an array may unpack at any ratio, 64 MiB, because zeros pack to almost nothing."""
MAX_ARRAY_BYTES = 1 << 36
"""Size of the largest array that is read, 64 GiB."""
MAX_HEADER_BYTES = 4096
"""Size of the largest header of a .npy member, which holds a shape and a type."""
_FILTERS = (1, 2, 3, 32000)
"""Filters that come with HDF5: deflate, shuffle, checksum, lzf."""
_NPY_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_DAMAGE = (
    *(ValueError, TypeError, SyntaxError, EOFError, RuntimeError, MemoryError, Warning),
    *(tokenize.TokenError, zlib.error, zipfile.BadZipFile),
)
"""Errors that numpy and zipfile raise for a damaged member."""
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def read_npz(path: Path, names: Iterable[str] | None = None) -> dict[str, Array]:
    """Return the named arrays that a `.npz` file holds, by default all.

    TraceError names file and array for a damaged one.
    """
    with _opened(path) as archive:
        there = _arrays_in(path, archive)
        wanted = there if names is None else [name for name in names if name in set(there)]
        return {name: _npy(archive, f"{name}.npy", f"{path}: {name}") for name in wanted}


def npz_names(path: Path) -> list[str]:
    """Return the names of the arrays in a `.npz` file, in its order; TraceError if it is not a whole one."""
    with _opened(path) as archive:
        return _arrays_in(path, archive)


def _arrays_in(path: Path, archive: zipfile.ZipFile) -> list[str]:
    members = Counter(info.filename for info in archive.infolist())
    if twice := [name for name, number in members.items() if number > 1]:
        raise TraceError(f"{path}: {twice[0]} occurs twice, need each array once")
    return [name.removesuffix(".npy") for name in members if name.endswith(".npy")]


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (OSError, ValueError, zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError) as error:
        raise TraceError(f"{path}: not a whole .npz file (cut short?): {error}") from None


def _npy(archive: zipfile.ZipFile, member: str, where: str) -> Array:
    """Return an array of an archive, read-only."""
    info = archive.getinfo(member)
    if info.flag_bits & 1:
        raise TraceError(f"{where} is encrypted, need it plain")
    if info.compress_type not in _METHODS:
        raise TraceError(f"{where} is packed by method {info.compress_type}, need it stored or deflated")
    _check_claim(where, info.file_size, info.compress_size)
    try:
        with archive.open(info) as stream:
            version = np.lib.format.read_magic(stream)
            if version not in _NPY_HEADERS:
                raise TraceError(f"{where} is of .npy version {version}, need 1.0 or 2.0")
            with warnings.catch_warnings():
                # numpy warns of headers of Python 2 and of deprecated types; both count as damage.
                warnings.simplefilter("error")
                shape, column_major, dtype = _NPY_HEADERS[version](stream, max_header_size=MAX_HEADER_BYTES)
            if any(isinstance(size, bool) for size in shape):
                raise TraceError(f"{where} has shape {shape}, need whole numbers")
            n_bytes = _bytes_of(where, shape, dtype)
            if n_bytes > info.file_size:
                raise TraceError(f"{where}: its header says {shape} of {dtype}, {n_bytes} bytes; there are fewer")
            data = stream.read(n_bytes)
            if len(data) != n_bytes or stream.read(1):
                raise TraceError(f"{where}: its header says {shape} of {dtype}, the data are not of that size")
            return np.frombuffer(data, dtype).reshape(shape, order="F" if column_major else "C")
    except _DAMAGE as error:
        raise TraceError(f"{where} is damaged: {error}") from None


def read_h5(path: Path, names: Iterable[str]) -> dict[str, Array]:
    """Return the named arrays that a `.h5` file holds; TraceError names file and array for a damaged one."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            there = set(file)
            return {name: _checked_dataset(file, name, f"{path}: {name}") for name in names if name in there}
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise TraceError(f"{path}: not a readable .h5 trace: {error}") from None


def _checked_dataset(file: Any, name: str, where: str) -> Array:
    try:
        return _dataset(file, name, where)
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, MemoryError) as error:
        raise TraceError(f"{where} cannot be read: {error}") from None


def _dataset(file: Any, name: str, where: str) -> Array:
    """Return an array; TraceError unless it is plain data in this file."""
    import h5py

    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise TraceError(f"{where} is a link to somewhere else, need the data in this file")
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset):
        raise TraceError(f"{where} is a group, need an array")
    if dataset.is_virtual or dataset.external:
        raise TraceError(f"{where} keeps its data in other files, need them in this one")
    if dataset.dtype.hasobject or h5py.check_enum_dtype(dataset.dtype):
        raise TraceError(f"{where} holds texts, references or names of numbers, need the numbers themselves")
    if dataset.shape is None:
        raise TraceError(f"{where} is empty, need an array")
    n_bytes = _bytes_of(where, dataset.shape, dataset.dtype)
    _check_claim(where, n_bytes, dataset.id.get_storage_size())
    if dataset.chunks is not None:
        _check_chunks(dataset, where)
    return np.asarray(dataset[()])


def _check_chunks(dataset: Any, where: str) -> None:
    """Raise TraceError for chunks that are missing, far larger than stored, or packed by an external filter."""
    needed = prod(ceil_div(size, chunk) for size, chunk in zip(dataset.shape, dataset.chunks, strict=True))
    if dataset.id.get_num_chunks() != needed:
        raise TraceError(f"{where}: parts of it were never written, need all of its data")
    _check_claim(f"{where}: its chunks", prod(dataset.chunks) * dataset.dtype.itemsize, dataset.id.get_storage_size())
    properties = dataset.id.get_create_plist()
    for code in (properties.get_filter(i)[0] for i in range(properties.get_nfilters())):
        if code not in _FILTERS:
            raise TraceError(f"{where} is packed by filter {code}, need deflate, shuffle, checksum or lzf")


def _bytes_of(where: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    """Return the size in bytes of an array; TraceError unless it holds numbers of at most 64 bits."""
    if dtype.hasobject:
        raise TraceError(f"{where} holds pickled objects, which are never read")
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        kind = "of records" if dtype.names else f"of type {dtype}"
        raise TraceError(f"{where} is {kind}, need whole or floating point numbers of at most 64 bits")
    if any(size < 0 for size in shape):
        raise TraceError(f"{where} has shape {shape}, need sizes >= 0")
    return prod(shape) * dtype.itemsize


def _check_claim(where: str, claimed: int, stored: int) -> None:
    most = min(MAX_UNPACK_RATIO * stored, MAX_ARRAY_BYTES) if stored else 0
    if claimed > max(most, SMALL_BYTES if stored else 0):
        need = f"at most {MAX_UNPACK_RATIO} times that and {MAX_ARRAY_BYTES} bytes, or {SMALL_BYTES} bytes"
        raise TraceError(f"{where} claims {claimed} bytes and holds {stored}: need {need}")
