"""Arrays that belong to one object: nobody else can change them, and copies and pickles stay that way."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class OwnsArrays:
    """Base of dataclasses whose digest and caches hold only while no array of theirs changes.

    Arrays, also those in tuples, are taken over read-only; pickle and `copy.deepcopy`, which make writeable ones, too.
    """

    def __post_init__(self) -> None:
        self.__setstate__(vars(self))

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update({name: _owned(value) for name, value in state.items()})


def own(array: NDArray[Any], dtype: DTypeLike | None = None) -> NDArray[Any]:
    """Return a read-only, C-ordered array of `dtype` that nobody else can change: a copy, unless it is one already."""
    mine = np.ascontiguousarray(array, dtype)
    if np.may_share_memory(mine, array):
        if _is_fixed(mine):
            return mine
        mine = mine.copy()
    mine.flags.writeable = False
    return mine


def _owned(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return own(value) if value.ndim else value
    return tuple(map(_owned, value)) if type(value) is tuple else value


def _is_fixed(array: NDArray[Any]) -> bool:
    """Return whether an array and everything it is a view of are read-only, down to memory of numpy's or bytes."""
    part: object = array
    while isinstance(part, np.ndarray):
        if part.flags.writeable:
            return False
        part = part.base
    return part is None or isinstance(part, bytes)
