"""Rounding of float32 values to what the machine stores: float32, binary16, or 8-bit codes (SEMANTICS 1.2)."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from archsim.kernels.arrays import F32
from archsim.kernels.numerics.fp16 import round_all

LARGEST_CODE = 127
"""Largest magnitude of an 8-bit code; values beyond its level saturate."""


class Rounding(NamedTuple):
    """Number format of stored values, which float32 arrays hold after rounding."""

    fp16: bool
    """Whether they are binary16."""
    spacing: np.float32
    """Level spacing of 8-bit codes; 0 where they are no codes."""


UNROUNDED, TO_FP16 = Rounding(False, np.float32(0)), Rounding(True, np.float32(0))


def to_codes_of(spacing: np.float32) -> Rounding:
    """Return the rounding to the levels of 8-bit codes, `spacing` apart."""
    return Rounding(False, np.float32(spacing))


def stored(values: F32, rounding: Rounding) -> F32:
    """Return float32 values rounded as they are stored; the values themselves where that changes nothing."""
    if rounding == UNROUNDED:
        return values
    rounded = np.array(values, np.float32, order="C")
    round_stored(rounded.reshape(-1), rounding)
    return rounded


def stored_levels(values: F32, n_x: int, x_spacing: np.float32, h_spacing: np.float32) -> F32:
    """Return values of [x; h] (B, N), of which `n_x` are of x, rounded to the levels of their 8-bit codes."""
    rounded = np.array(values, np.float32, order="C")
    _round_rows(rounded, n_x, x_spacing, h_spacing)
    return rounded


@njit(cache=True, nogil=True)
def _round_rows(values, n_x, x_spacing, h_spacing):
    for b in range(values.shape[0]):
        round_to_levels(values[b, :n_x], x_spacing)
        round_to_levels(values[b, n_x:], h_spacing)


@njit(cache=True, nogil=True)
def round_stored(values, rounding):
    """Round values (n,) in place; for kernels."""
    if rounding.fp16:
        round_all(values)
    elif rounding.spacing > 0:
        round_to_levels(values, rounding.spacing)


@njit(cache=True, nogil=True)
def round_to_levels(values, spacing):
    """Round values (n,) in place to the levels of 8-bit codes; for kernels."""
    for i in range(values.size):
        values[i] = code_of(values[i], spacing) * spacing


@njit(cache=True, nogil=True, error_model="numpy")
def code_of(value, spacing):
    """Return the code of a value, a whole float32 in [-127, 127], ties to even; for kernels."""
    # Clipped first, which gives the same code, because not every float has an integer.
    largest = np.float32(LARGEST_CODE)
    # An integer has one zero, so -0.0 becomes 0.0.
    return np.rint(min(max(np.float32(value) / spacing, -largest), largest)) + np.float32(0.0)
