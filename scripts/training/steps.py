"""Numba kernels of one training step of a cell, which write in place (backward: archsim.kernels.numerics.gradients).

There are many short loops, because the compiler vectorises a loop over few arrays. Sums may be reordered (fastmath),
because training needs the speed and not the last bit.

All arrays are float32. `FORWARD` has one signature for all cells; `bias` is that of a GRU's hidden candidate product.
"""

from __future__ import annotations

from numba import njit

from archsim.ir.cells import GRU, LSTM
from archsim.kernels.numerics.activation import sigmoid, tanh


@njit(cache=True, error_model="numpy", fastmath=True)
def lstm_forward(inputs, hidden, bias, c, before, acts, h):
    """Advance an LSTM in place, from products (B, 4H) and h `before` to gates `acts` (B, 4H) and `h`."""
    B, H = h.shape
    for b in range(B):
        for n in range(2 * H):
            acts[b, n] = sigmoid(inputs[b, n] + hidden[b, n])
        for n in range(2 * H, 3 * H):
            acts[b, n] = tanh(inputs[b, n] + hidden[b, n])
        for n in range(3 * H, 4 * H):
            acts[b, n] = sigmoid(inputs[b, n] + hidden[b, n])
        for n in range(H):
            c[b, n] = acts[b, H + n] * c[b, n] + acts[b, n] * acts[b, 2 * H + n]
        for n in range(H):
            h[b, n] = acts[b, 3 * H + n] * tanh(c[b, n])


@njit(cache=True, error_model="numpy", fastmath=True)
def gru_forward(inputs, hidden, bias, c, before, acts, h):
    """Advance a GRU in place, from two products (B, 3H) to `acts` (B, 4H: r, z, candidate, its hidden part) and `h`."""
    B, H = h.shape
    for b in range(B):
        for n in range(2 * H):
            acts[b, n] = sigmoid(inputs[b, n] + hidden[b, n])
        for n in range(H):
            hidden_part = hidden[b, 2 * H + n] + bias[n]
            candidate = tanh(inputs[b, 2 * H + n] + acts[b, n] * hidden_part)
            acts[b, 2 * H + n], acts[b, 3 * H + n] = candidate, hidden_part
            h[b, n] = candidate + acts[b, H + n] * (before[b, n] - candidate)


FORWARD = {LSTM.name: lstm_forward, GRU.name: gru_forward}
"""Step kernels by the name of the cell."""
