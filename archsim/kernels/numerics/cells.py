"""Cell updates, one kernel per kind of cell: the work that follows the dot products at every step (SEMANTICS 1.1).

A new kind takes a kernel id here, a kernel, and a branch of `advance_cell`; `archsim.ir.cells` registers the cell.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from archsim.kernels.arrays import F32, check_shapes
from archsim.kernels.numerics.activation import gate, relu, tanh
from archsim.kernels.numerics.products import ProductWeights, add_weighted, check_weights
from archsim.kernels.numerics.rounding import Rounding, round_stored

LSTM_KERNEL, GRU_KERNEL, LSTM_PEEPHOLES_KERNEL, RNN_KERNEL, RNN_RELU_KERNEL, GRU_RESET_BEFORE_KERNEL = range(6)
N_PRODUCTS = {
    LSTM_KERNEL: 4,
    GRU_KERNEL: 4,
    LSTM_PEEPHOLES_KERNEL: 4,
    RNN_KERNEL: 1,
    RNN_RELU_KERNEL: 1,
    GRU_RESET_BEFORE_KERNEL: 3,
}
"""Dot products P per unit that a kernel reads, by kernel id."""
N_PEEPHOLES = {LSTM_PEEPHOLES_KERNEL: 3}
"""Peephole weights per unit that a kernel reads, by kernel id; 0 for any other."""


class CellUpdate(NamedTuple):
    """Kernel of a cell update, and what it reads besides products and state."""

    kernel_id: int
    gate_slope: np.float32
    """Slope of the hard sigmoid of the gates, float32; 0 for the logistic function."""
    bias: F32
    """Biases in the cell's order of products, (P, H)."""
    peepholes: F32
    """Weights of c in the gates i, f and o, (3, H); (0, H) for a cell without them."""
    projection: ProductWeights
    """Weights that make h of the hidden units' values, R products over H inputs; none without a projection."""
    rounding: Rounding
    """Number format in which h is stored, and of r ⊙ h in an input buffer."""


def check_kernel_id(kernel_id: int) -> None:
    """Raise ValueError for a kernel id that no cell update has."""
    if kernel_id not in N_PRODUCTS:
        raise ValueError(f"no cell update has kernel id {kernel_id}; accepted: {', '.join(map(str, N_PRODUCTS))}")


def check_update(update: CellUpdate, n_units: int) -> None:
    """Raise ValueError for a cell update of unknown kernel id, or with arrays for other than `n_units` units."""
    check_kernel_id(update.kernel_id)
    check_shapes(
        bias=(update.bias, (N_PRODUCTS[update.kernel_id], n_units)),
        peepholes=(update.peepholes, (N_PEEPHOLES.get(update.kernel_id, 0), n_units)),
    )
    n_hidden = update.projection.n_products
    check_weights("projection", update.projection, n_units if n_hidden else 0, n_hidden)


def update_cell(update: CellUpdate, products: F32, c: F32, h: F32) -> None:
    """Advance a cell by one step from products (B, P, H), c (B, H) and h (B, R) in place; round h as it is stored.

    A cell without c leaves it alone. Raises ValueError for an unknown kernel id or arrays of other shapes.
    """
    B, H = c.shape
    check_update(update, H)
    n_hidden = update.projection.n_products or H
    check_shapes(products=(products, (B, N_PRODUCTS[update.kernel_id], H)), h=(h, (B, n_hidden)))
    advance_cell(update, products, c, h)


@njit(cache=True, nogil=True)
def advance_cell(update, products, c, h):
    """Advance a cell as `update_cell` does, unchecked; for kernels."""
    if update.projection.columns.size or update.projection.scales.size:
        units = np.zeros(c.shape, np.float32)
        _advance(update, products, c, units)  # of an LSTM, which does not read its h
        if update.rounding.fp16:  # an input buffer holds them; codes are made where products are
            round_stored(units.reshape(-1), update.rounding)
        h[:] = np.float32(0.0)
        add_weighted(units, update.projection, h)  # h_t = W_hr·(σ(o)·tanh(c_t))
    else:
        _advance(update, products, c, h)
    round_stored(h.reshape(-1), update.rounding)


@njit(cache=True, nogil=True, inline="always")
def _advance(update, products, c, h):
    if update.kernel_id == LSTM_KERNEL:
        _advance_lstm(products, update.bias, update.gate_slope, c, h)
    elif update.kernel_id == GRU_KERNEL:
        _advance_gru(products, update.bias, update.gate_slope, h)
    elif update.kernel_id == LSTM_PEEPHOLES_KERNEL:
        _advance_lstm_peepholes(products, update.bias, update.gate_slope, update.peepholes, c, h)
    elif update.kernel_id == RNN_KERNEL:
        _advance_rnn(products, update.bias, h)
    elif update.kernel_id == RNN_RELU_KERNEL:
        _advance_rnn_relu(products, update.bias, h)
    elif update.kernel_id == GRU_RESET_BEFORE_KERNEL:
        _advance_gru_reset_before(products, update.bias, update.gate_slope, h)
    else:
        raise ValueError("no cell update has this kernel id")


@njit(cache=True, nogil=True)
def _advance_lstm(products, bias, slope, c, h):
    for b in range(h.shape[0]):
        for n in range(h.shape[1]):
            i = gate(products[b, 0, n] + bias[0, n], slope)
            f = gate(products[b, 1, n] + bias[1, n], slope)
            g = tanh(products[b, 2, n] + bias[2, n])
            o = gate(products[b, 3, n] + bias[3, n], slope)
            c[b, n] = f * c[b, n] + i * g  # c_t = σ(f)·c + σ(i)·tanh(g)
            h[b, n] = o * tanh(c[b, n])  # h_t = σ(o)·tanh(c_t)


@njit(cache=True, nogil=True)
def _advance_lstm_peepholes(products, bias, slope, peepholes, c, h):
    for b in range(h.shape[0]):
        for n in range(h.shape[1]):
            before = c[b, n]
            i = gate(products[b, 0, n] + bias[0, n] + peepholes[0, n] * before, slope)
            f = gate(products[b, 1, n] + bias[1, n] + peepholes[1, n] * before, slope)
            g = tanh(products[b, 2, n] + bias[2, n])
            c[b, n] = f * before + i * g
            # Gates i and f look at c_{t-1}, gate o at c_t.
            o = gate(products[b, 3, n] + bias[3, n] + peepholes[2, n] * c[b, n], slope)
            h[b, n] = o * tanh(c[b, n])


@njit(cache=True, nogil=True)
def _advance_gru(products, bias, slope, h):
    # Products are r, z, y_x[n] and y_h[n]: reset comes after the product, as in torch and cuDNN.
    for b in range(h.shape[0]):
        for n in range(h.shape[1]):
            r = gate(products[b, 0, n] + bias[0, n], slope)
            z = gate(products[b, 1, n] + bias[1, n], slope)
            # n_t = tanh(y_x[n] + b_in + r·(y_h[n] + b_hn))
            candidate = tanh(products[b, 2, n] + bias[2, n] + r * (products[b, 3, n] + bias[3, n]))
            h[b, n] = (np.float32(1.0) - z) * candidate + z * h[b, n]  # h_t = (1-z)·n_t + z·h_{t-1}


@njit(cache=True, nogil=True)
def _advance_gru_reset_before(products, bias, slope, h):
    # Products are r, z and y[n], which is made of r ⊙ h already; so r is not needed any more.
    for b in range(h.shape[0]):
        for n in range(h.shape[1]):
            z = gate(products[b, 1, n] + bias[1, n], slope)
            candidate = tanh(products[b, 2, n] + bias[2, n])  # n_t = tanh(y[n] + b_in + b_hn)
            h[b, n] = (np.float32(1.0) - z) * candidate + z * h[b, n]  # h_t = (1-z)·n_t + z·h_{t-1}


def reset_hidden(update: CellUpdate, products: F32, h: F32) -> F32:
    """Return r ⊙ h (B, H), rounded as h is stored, from products (B, >= 1, H) of which r's is the first.

    Raises ValueError for an unknown kernel id or arrays of other shapes.
    """
    B, H = h.shape
    check_update(update, H)
    check_shapes(products=(products[:, 0], (B, H)))
    out: F32 = reset(update, products, h)
    return out


@njit(cache=True, nogil=True)
def reset(update, products, h):
    """Return r ⊙ h as `reset_hidden` does, unchecked; for kernels."""
    out = np.empty(h.shape, np.float32)
    for b in range(h.shape[0]):
        for n in range(h.shape[1]):
            out[b, n] = gate(products[b, 0, n] + update.bias[0, n], update.gate_slope) * h[b, n]
    round_stored(out.reshape(-1), update.rounding)  # an input buffer holds it
    return out


@njit(cache=True, nogil=True)
def _advance_rnn(products, bias, h):
    for b in range(h.shape[0]):
        for n in range(h.shape[1]):
            h[b, n] = tanh(products[b, 0, n] + bias[0, n])  # h_t = tanh(y + b_ih + b_hh)


@njit(cache=True, nogil=True)
def _advance_rnn_relu(products, bias, h):
    for b in range(h.shape[0]):
        for n in range(h.shape[1]):
            h[b, n] = relu(products[b, 0, n] + bias[0, n])  # h_t = max(0, y + b_ih + b_hh)
