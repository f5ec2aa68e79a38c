"""Activation functions: tanh and the logistic function from one rational polynomial, exp from another.

A polynomial runs in vector lanes and gives the same bits on every machine, which a platform's libm does not.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit

from archsim.kernels.numerics.intrinsics import float_of, fma

_LIMIT = np.float32(9.0)
"""Argument beyond which tanh is 1 to float32 precision."""

# tanh(x) ≈ x·P(x²)/Q(x²) on [-9, 9], relative error 2.1e-8 before rounding; from scripts/fit_tanh.py.
_P0, _P1, _P2 = (
    np.float32(0.9999999795306341),
    np.float32(0.13381032934788206),
    np.float32(3.4955964638137558e-3),
)
_P3, _P4 = np.float32(2.0609207078689735e-5), np.float32(1.3354811963685716e-8)
_Q1, _Q2 = np.float32(0.4671434854799522), np.float32(2.5877014750280510e-2)
_Q3, _Q4 = np.float32(3.2856479085533450e-4), np.float32(7.7766245815023490e-7)
_ZERO, _HALF, _ONE = np.float32(0.0), np.float32(0.5), np.float32(1.0)


# Python's check for a zero divisor would keep the loop around out of the vector lanes; Q is never zero.
@njit(cache=True, nogil=True, error_model="numpy")
def tanh(x):
    """Return tanh(x) for float32; relative error at most 5e-7, odd to the bit."""
    x = x if x < _LIMIT else _LIMIT
    x = x if x > -_LIMIT else -_LIMIT
    s = x * x
    p = fma(fma(fma(fma(_P4, s, _P3), s, _P2), s, _P1), s, _P0)
    q = fma(fma(fma(fma(_Q4, s, _Q3), s, _Q2), s, _Q1), s, _ONE)
    y = x * p / q
    # Rounding could leave [-1, 1] by one unit in the last place, and a gate must not.
    y = y if y < _ONE else _ONE
    return y if y > -_ONE else -_ONE


@njit(cache=True, nogil=True)
def sigmoid(x):
    """Return 1 / (1 + exp(-x)) for float32; absolute error at most 2e-7."""
    return fma(_HALF, tanh(_HALF * x), _HALF)


@njit(cache=True, nogil=True)
def hard_sigmoid(x, slope):
    """Return max(0, min(1, slope·x + 1/2)) for float32."""
    y = fma(slope, x, _HALF)
    y = y if y < _ONE else _ONE
    return y if y > _ZERO else _ZERO


@njit(cache=True, nogil=True)
def gate(x, slope):
    """Return the hard sigmoid of a slope > 0, or the logistic function for slope 0; float32."""
    return hard_sigmoid(x, slope) if slope > _ZERO else sigmoid(x)


@njit(cache=True, nogil=True)
def relu(x):
    """Return max(0, x) for float32; NaN stays NaN."""
    return _ZERO if x < _ZERO else x


_LOG2_E, _LN2_HIGH, _LN2_LOW = np.float32(1.4426950408889634), np.float32(0.693359375), np.float32(-2.12194440e-4)
_LEAST = np.float32(-87.0)
"""Smallest argument of exp; the result is nearly the smallest normal float32."""
# Taylor's 1/n!, which on [-ln 2 / 2, ln 2 / 2] is good to 6e-9 with eight terms.
_E2, _E3, _E4 = np.float32(1 / 2), np.float32(1 / 6), np.float32(1 / 24)
_E5, _E6, _E7 = np.float32(1 / 120), np.float32(1 / 720), np.float32(1 / 5040)


@njit(cache=True, nogil=True, error_model="numpy")
def exp(x):
    """Return exp(x) for float32 x <= 0, and no less than exp(-87); relative error at most 2e-7."""
    x = x if x > _LEAST else _LEAST
    # exp(x) = 2^n · exp(r) with |r| <= ln 2 / 2; ln 2 in two parts keeps r exact to float32.
    n = np.floor(fma(x, _LOG2_E, _HALF))
    r = fma(-n, _LN2_LOW, fma(-n, _LN2_HIGH, x))
    p = fma(fma(fma(fma(fma(fma(_E7, r, _E6), r, _E5), r, _E4), r, _E3), r, _E2), r, _ONE)
    return fma(p, r, _ONE) * float_of(np.uint32((np.int32(n) + 127) << 23))
