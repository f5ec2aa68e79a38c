"""Cell updates: what follows the dot products, computed at every step (SEMANTICS 1.1)."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit

from archsim.kernels.arrays import F32, check_shapes
from archsim.kernels.numerics.activation import sigmoid, tanh


def update_lstm(products: F32, bias: F32, c: F32, h: F32) -> None:
    """Advance an LSTM one step: products (B, 4, H) of gates i, f, g, o; bias (4, H); c and h (B, H) in place."""
    B, H = h.shape
    check_shapes(products=(products, (B, 4, H)), bias=(bias, (4, H)), c=(c, (B, H)))
    step_lstm(products, bias, c, h)


def update_gru(products: F32, bias: F32, h: F32) -> None:
    """Advance a GRU (reset after the product) one step.

    products (B, 4, H): r, z, the candidate's input part, its hidden part; bias (4, H) alike; h (B, H) in place.
    """
    B, H = h.shape
    check_shapes(products=(products, (B, 4, H)), bias=(bias, (4, H)))
    step_gru(products, bias, h)


@njit(cache=True, nogil=True)
def step_lstm(products, bias, c, h):
    """`update_lstm`, for kernels."""
    for b in range(h.shape[0]):
        for n in range(h.shape[1]):
            i = sigmoid(products[b, 0, n] + bias[0, n])
            f = sigmoid(products[b, 1, n] + bias[1, n])
            g = tanh(products[b, 2, n] + bias[2, n])
            o = sigmoid(products[b, 3, n] + bias[3, n])
            c[b, n] = f * c[b, n] + i * g
            h[b, n] = o * tanh(c[b, n])


@njit(cache=True, nogil=True)
def step_gru(products, bias, h):
    """`update_gru`, for kernels."""
    for b in range(h.shape[0]):
        for n in range(h.shape[1]):
            r = sigmoid(products[b, 0, n] + bias[0, n])
            z = sigmoid(products[b, 1, n] + bias[1, n])
            candidate = tanh(products[b, 2, n] + bias[2, n] + r * (products[b, 3, n] + bias[3, n]))
            h[b, n] = (np.float32(1.0) - z) * candidate + z * h[b, n]
