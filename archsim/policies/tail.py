"""Codes of the low-bit tail, through which delta passes what has not entered the products (SEMANTICS 1.4)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from archsim.kernels.arrays import F32, I8

TINY = np.finfo(np.float32).tiny
"""Lower bound of a row's level spacing, so that nothing is divided by zero."""
LEVEL_SPACING = {1: 2.0, 2: 1.0}
"""Level spacing of a row by bits, as a share of its mean magnitude; rows of more bits reach their largest one."""


class TailCodes(NamedTuple):
    """Weights of a direction divided by ρ and quantised row by row; they do not depend on θ."""

    codes: I8
    """Odd codes q of the rows, (G·H, N)."""
    spacings: F32
    """Level spacing Δ of each row, (G·H,); a code counts halves of it."""


def largest_remainder(bits: int) -> int:
    """Return Q, the largest code of what has not entered; a code of 0 is among its 2·Q + 1, so 1 bit has three."""
    return max(1, (1 << (bits - 1)) - 1)


def tail_codes(weight_ih: F32, weight_hh: F32, rho: F32, bits: int) -> TailCodes:
    """Return the codes of weights as the machine stores them, (G·H, I) and (G·H, R), whose ρ is `rho` (N,)."""
    weights = np.hstack([weight_ih, weight_hh])
    # An element without weights adds nothing whatever its code is.
    shares = np.divide(weights, rho, out=np.zeros_like(weights), where=rho > 0)
    spacings = _level_spacings(np.abs(shares), bits)
    half = np.float32(1 << (bits - 1))
    levels = np.clip(np.floor(shares / spacings[:, None]), -half, half - 1)
    return TailCodes((2 * levels + 1).astype(np.int8), spacings)


def code_values(spacings: F32, threshold: float, bits: int) -> F32:
    """Return κ = θ·Δ / 2Q of each row: the amount that a product of two codes counts."""
    values: F32 = (np.float64(np.float32(threshold)) * spacings / (2 * largest_remainder(bits))).astype(np.float32)
    return values


def codes_per_threshold(threshold: float, bits: int) -> np.float32:
    """Return Q/θ in float32; 0 where it is none, so that nothing passes through the tail at θ = 0."""
    with np.errstate(divide="ignore", over="ignore"):
        ratio = np.float32(largest_remainder(bits)) / np.float32(threshold)
    return ratio if np.isfinite(ratio) else np.float32(0)


def code_sum_type(n_inputs: int, bits: int) -> type[np.int16] | type[np.int32]:
    """Return the integers that sums of N products of two codes fit."""
    largest = n_inputs * largest_remainder(bits) * ((1 << bits) - 1)
    return np.int16 if largest <= np.iinfo(np.int16).max else np.int32


def _level_spacings(magnitudes: F32, bits: int) -> F32:
    if bits in LEVEL_SPACING:
        means = magnitudes.mean(axis=1, dtype=np.float64).astype(np.float32)
        spacings: F32 = np.float32(LEVEL_SPACING[bits]) * means
    else:
        spacings = np.float32(2) * magnitudes.max(axis=1) / np.float32((1 << bits) - 1)
    least: F32 = np.maximum(spacings, TINY)
    return least
