"""What attention needs beside products: a softmax and an activation, the same bits on every machine."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from numba import njit

from archsim.kernels.arrays import F32
from archsim.kernels.numerics.activation import exp, tanh


def softmax(scores: F32) -> None:
    """Turn scores (S,) float32 into shares that sum to 1, in place; added up in order."""
    _softmax(scores)


def tanh_inplace(values: F32) -> None:
    """Apply tanh to values (N,) float32 in place."""
    _squash(values)


@njit(cache=True, nogil=True, error_model="numpy")
def _softmax(scores):
    largest = scores.max()
    for i in range(scores.size):
        scores[i] = exp(scores[i] - largest)
    total = scores[0]
    for i in range(1, scores.size):
        total += scores[i]
    for i in range(scores.size):
        scores[i] /= total


@njit(cache=True, nogil=True)
def _squash(values):
    for i in range(values.size):
        values[i] = tanh(values[i])
