"""Softmax and tanh of arrays for attention, with the same bits on every machine."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from numba import njit

from archsim.kernels.arrays import F32
from archsim.kernels.numerics.activation import exp, tanh


def softmax(scores: F32) -> None:
    """Replace scores (S,) float32 by shares that sum to 1, in place; the sum is taken in order."""
    _softmax(scores)


def tanh_inplace(values: F32) -> None:
    """Apply tanh to values (N,) float32 in place."""
    _tanh_inplace(values)


@njit(cache=True, nogil=True, error_model="numpy")
def _softmax(scores):
    # exp of differences to the largest cannot overflow, and `exp` takes arguments up to 0 only.
    largest = scores.max()
    for i in range(scores.size):
        scores[i] = exp(scores[i] - largest)
    total = scores[0]
    for i in range(1, scores.size):
        total += scores[i]
    for i in range(scores.size):
        scores[i] /= total


@njit(cache=True, nogil=True)
def _tanh_inplace(values):
    for i in range(values.size):
        values[i] = tanh(values[i])
