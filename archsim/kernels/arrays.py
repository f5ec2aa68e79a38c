"""Array types of the kernels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I8 = NDArray[np.int8]
I16 = NDArray[np.int16]
I32 = NDArray[np.int32]
CodeSums = NDArray[np.int16 | np.int32]
I64 = NDArray[np.int64]
U8 = NDArray[np.uint8]
U64 = NDArray[np.uint64]
Bools = NDArray[np.bool_]


def row_lists(array: NDArray[Any], at_a_time: int = 1 << 12) -> Iterator[Any]:
    """Yield the rows of an array as `tolist` gives them, converting `at_a_time` rows at once to save memory."""
    for first in range(0, len(array), at_a_time):
        yield from array[first : first + at_a_time].tolist()


def check_shapes(**expected: tuple[NDArray[Any], tuple[int, ...]]) -> None:
    """Raise ValueError for the first array, by name, that has not its expected shape, because kernels do not check."""
    for name, (array, shape) in expected.items():
        if array.shape != shape:
            raise ValueError(f"{name} has shape {array.shape}, need {shape}")
