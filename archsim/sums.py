"""Sums of floats with the same bits in every version of Python and numpy.

The builtin `sum` of floats compensates for rounding since Python 3.12, and numpy and pandas may add in any order.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray


def mean(values: Iterable[float]) -> float:
    """Return the arithmetic mean of numbers, or NaN if there are none."""
    numbers = list(values)
    return math.fsum(numbers) / len(numbers) if numbers else math.nan


def add_along(values: NDArray[Any], axis: int | None = None) -> NDArray[np.float64]:
    """Return the float64 sums along one axis, or of all elements, added in order; no axis may be empty."""
    # A cumulative sum has only one order, while `sum` adds in pairs and casts in blocks whose size numpy chooses.
    sums: NDArray[np.float64] = np.cumsum(values, axis=axis, dtype=np.float64)
    return np.asarray(sums.take(-1, axis=axis))
