"""Cell updates, one kernel per kind of cell: the work that follows the dot products at every step (SEMANTICS 1.1).

A new kind takes a kernel id here, a kernel, and a branch of `advance_cell`; `archsim.ir.cells` registers the cell.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit

from archsim.kernels.arrays import F32, check_shapes
from archsim.kernels.numerics.activation import sigmoid, tanh
from archsim.kernels.numerics.dense import add_products
from archsim.kernels.numerics.fp16 import round_all

LSTM_KERNEL, GRU_KERNEL, GRU_RESET_BEFORE_KERNEL = 0, 1, 5  # 2 to 4 are of cells on their way
N_PRODUCTS = {LSTM_KERNEL: 4, GRU_KERNEL: 4, GRU_RESET_BEFORE_KERNEL: 3}
"""Dot products P per unit that a kernel reads, by kernel id."""


def check_kernel_id(kernel_id: int) -> None:
    """Raise ValueError for a kernel id that no cell update has."""
    if kernel_id not in N_PRODUCTS:
        raise ValueError(f"no cell update has kernel id {kernel_id}; accepted: {', '.join(map(str, N_PRODUCTS))}")


def update_cell(kernel_id: int, products: F32, bias: F32, c: F32, h: F32) -> None:
    """Advance a cell by one step, c and h (B, H) in place; a cell without c leaves it alone.

    products (B, P, H) and bias (P, H) in the cell's order of products. Raises ValueError for an unknown kernel id.
    """
    B, H = h.shape
    check_kernel_id(kernel_id)
    P = N_PRODUCTS[kernel_id]
    check_shapes(products=(products, (B, P, H)), bias=(bias, (P, H)), c=(c, (B, H)))
    advance_cell(kernel_id, products, bias, c, h)


@njit(cache=True, nogil=True)
def advance_cell(kernel_id, products, bias, c, h):
    """Advance a cell as `update_cell` does, unchecked; for kernels."""
    if kernel_id == LSTM_KERNEL:
        _advance_lstm(products, bias, c, h)
    elif kernel_id == GRU_KERNEL:
        _advance_gru(products, bias, h)
    elif kernel_id == GRU_RESET_BEFORE_KERNEL:
        _advance_gru_reset_before(products, bias, h)
    else:
        raise ValueError("no cell update has this kernel id")


def update_projected_cell(
    kernel_id: int, products: F32, bias: F32, c: F32, projection_t: F32, h: F32, *, fp16: bool
) -> None:
    """Advance a cell as `update_cell` does, and make h (B, R) of its hidden units by `projection_t` (H, R)."""
    (B, H), R = c.shape, h.shape[1]
    check_kernel_id(kernel_id)
    P = N_PRODUCTS[kernel_id]
    check_shapes(products=(products, (B, P, H)), bias=(bias, (P, H)), projection_t=(projection_t, (H, R)))
    advance_projected_cell(kernel_id, products, bias, c, projection_t, h, fp16)


@njit(cache=True, nogil=True)
def advance_projected_cell(kernel_id, products, bias, c, projection_t, h, fp16):
    """Advance a cell as `update_projected_cell` does, unchecked; for kernels."""
    units = np.zeros(c.shape, np.float32)
    advance_cell(kernel_id, products, bias, c, units)  # of an LSTM, which does not read its h
    if fp16:  # an input buffer holds them
        round_all(units.reshape(-1))
    h[:] = np.float32(0.0)
    add_products(units, projection_t, h)  # h_t = W_hr·(σ(o)·tanh(c_t))


@njit(cache=True, nogil=True)
def _advance_lstm(products, bias, c, h):
    for b in range(h.shape[0]):
        for n in range(h.shape[1]):
            i = sigmoid(products[b, 0, n] + bias[0, n])
            f = sigmoid(products[b, 1, n] + bias[1, n])
            g = tanh(products[b, 2, n] + bias[2, n])
            o = sigmoid(products[b, 3, n] + bias[3, n])
            c[b, n] = f * c[b, n] + i * g  # c_t = σ(f)·c + σ(i)·tanh(g)
            h[b, n] = o * tanh(c[b, n])  # h_t = σ(o)·tanh(c_t)


@njit(cache=True, nogil=True)
def _advance_gru(products, bias, h):
    # Products are r, z, y_x[n] and y_h[n]: reset comes after the product, as in torch and cuDNN.
    for b in range(h.shape[0]):
        for n in range(h.shape[1]):
            r = sigmoid(products[b, 0, n] + bias[0, n])
            z = sigmoid(products[b, 1, n] + bias[1, n])
            # n_t = tanh(y_x[n] + b_in + r·(y_h[n] + b_hn))
            candidate = tanh(products[b, 2, n] + bias[2, n] + r * (products[b, 3, n] + bias[3, n]))
            h[b, n] = (np.float32(1.0) - z) * candidate + z * h[b, n]  # h_t = (1-z)·n_t + z·h_{t-1}


@njit(cache=True, nogil=True)
def _advance_gru_reset_before(products, bias, h):
    # Products are r, z and y[n], which is made of r ⊙ h already; so r is not needed any more.
    for b in range(h.shape[0]):
        for n in range(h.shape[1]):
            z = sigmoid(products[b, 1, n] + bias[1, n])
            candidate = tanh(products[b, 2, n] + bias[2, n])  # n_t = tanh(y[n] + b_in + b_hn)
            h[b, n] = (np.float32(1.0) - z) * candidate + z * h[b, n]  # h_t = (1-z)·n_t + z·h_{t-1}


def reset_hidden(products: F32, bias: F32, h: F32, *, fp16: bool) -> F32:
    """Return r ⊙ h (B, H), rounded to binary16 if `fp16`, from products (B, >= 1, H) of which r's is the first."""
    B, H = h.shape
    check_shapes(products=(products[:, 0], (B, H)), bias=(bias[0], (H,)))
    out: F32 = reset(products, bias, h, fp16)
    return out


@njit(cache=True, nogil=True)
def reset(products, bias, h, fp16):
    """Return r ⊙ h as `reset_hidden` does, unchecked; for kernels."""
    out = np.empty(h.shape, np.float32)
    for b in range(h.shape[0]):
        for n in range(h.shape[1]):
            out[b, n] = sigmoid(products[b, 0, n] + bias[0, n]) * h[b, n]
    if fp16:  # an input buffer holds it
        round_all(out.reshape(-1))
    return out
