"""Read-only arrays that belong to one object, also after a copy or a pickle of it."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class OwnsArrays:
    """Base of dataclasses whose digest and caches are valid only while their arrays do not change.

    Each array, also inside a tuple, is replaced by a read-only one. The same happens after pickle and `copy.deepcopy`,
    because they make writeable arrays.
    """

    def __post_init__(self) -> None:
        self.__setstate__(vars(self))

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update({name: _owned(value) for name, value in state.items()})


class OwnMap(mmap.mmap):
    """Read-only map of a file that its maker alone writes, and only before it is mapped."""


def own(array: NDArray[Any], dtype: DTypeLike | None = None) -> NDArray[Any]:
    """Return a read-only, C-ordered array of `dtype` that no other object can change, copied only if necessary."""
    result = np.ascontiguousarray(array, dtype)
    if np.may_share_memory(result, array):
        if _is_fixed(result):
            return result
        result = result.copy()
    result.flags.writeable = False
    return result


def _owned(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return own(value) if value.ndim else value
    return tuple(map(_owned, value)) if type(value) is tuple else value


def _is_fixed(array: NDArray[Any]) -> bool:
    """Return whether an array and all arrays beneath its view are read-only.

    Beneath the last one lies numpy's own memory, bytes, or an `OwnMap`.
    """
    owner: object = array
    while isinstance(owner, np.ndarray):
        if owner.flags.writeable:
            return False
        owner = owner.base
    if isinstance(owner, memoryview):
        owner = owner.obj
    return owner is None or isinstance(owner, bytes | OwnMap)
