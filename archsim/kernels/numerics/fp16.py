"""Rounding of float32 values to binary16, the number format the machine stores (SEMANTICS 1.2).

It works on bits because numba has no binary16 and numpy's conversion takes a hundred times longer.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit

from archsim.kernels.arrays import F32
from archsim.kernels.numerics.intrinsics import bits_of, float_of

FP16_MAX = 65504.0
"""Largest finite binary16 number."""


def to_fp16(values: F32) -> F32:
    """Return a copy of float32 values rounded to binary16, half to even; beyond the range they become infinite."""
    rounded = np.array(values, np.float32, order="C")
    round_all(rounded.reshape(-1))
    return rounded


def round_to_fp16(values: F32) -> None:
    """Round a contiguous float32 array to binary16 in place."""
    round_all(values.reshape(-1))


@njit(cache=True, nogil=True)
def fp16_rounded(value):
    """Return one float32 rounded to binary16, half to even; for kernels."""
    bits = bits_of(np.float32(value))
    sign = bits & np.uint32(0x80000000)
    magnitude = bits ^ sign
    if magnitude < np.uint32(0x38800000):
        # Below 2^-14 binary16 is fixed point with spacing 2^-24, the spacing of float32 in [0.5, 1).
        small = (float_of(magnitude) + np.float32(0.5)) - np.float32(0.5)
        return float_of(bits_of(small) | sign)
    # Adding half a unit less one, and one more for an odd result, rounds half to even; the carry raises the exponent.
    odd = (magnitude >> np.uint32(13)) & np.uint32(1)
    rounded = (magnitude + np.uint32(0xFFF) + odd) & np.uint32(0xFFFFE000)
    if rounded > np.uint32(0x477FE000):
        rounded = np.uint32(0x7F800000)
    return float_of(rounded | sign)


@njit(cache=True, nogil=True)
def round_all(values):
    """Round all values (n,) to binary16 in place; for kernels."""
    for i in range(values.size):
        values[i] = fp16_rounded(values[i])
