"""Array types the kernels speak."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
U8 = NDArray[np.uint8]
U64 = NDArray[np.uint64]
Bools = NDArray[np.bool_]


def check_shapes(**expected: tuple[NDArray[Any], tuple[int, ...]]) -> None:
    """Raise ValueError for the first array, by name, that is not of its expected shape: kernels do not look."""
    for name, (array, shape) in expected.items():
        if array.shape != shape:
            raise ValueError(f"{name} has shape {array.shape}, need {shape}")
