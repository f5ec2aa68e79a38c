"""One step of a cell in training, as numba kernels that write in place (archsim.kernels.numerics.gradients goes back).

Loops are many and short because the compiler puts a loop over few arrays into vector lanes. Sums may be
reordered (fastmath): training needs the speed, not the last bit.

All arrays are float32 but for `stale` and `zone`, which hold booleans. A GRU's candidate has two products,
its input part and its hidden part, hence `held` (B, 4H) for both cells. `FORWARD` has one signature for all cells.
"""

from __future__ import annotations

from numba import njit

from archsim.ir.cells import GRU, LSTM
from archsim.kernels.numerics.activation import sigmoid, tanh


@njit(cache=True, error_model="numpy", fastmath=True)
def lstm_forward(inputs, hidden, bias, stale, zone, held, c, before, acts, h):
    """Advance an LSTM: products (B, 4H) -> gates `acts` (B, 4H), in place; `h` follows `before`."""
    B, H = h.shape
    for b in range(B):
        for n in range(4 * H):
            held[b, n] = held[b, n] if stale[b, n] else inputs[b, n] + hidden[b, n]
        for n in range(2 * H):
            acts[b, n] = sigmoid(held[b, n])
        for n in range(2 * H, 3 * H):
            acts[b, n] = tanh(held[b, n])
        for n in range(3 * H, 4 * H):
            acts[b, n] = sigmoid(held[b, n])
        for n in range(H):
            c[b, n] = acts[b, H + n] * c[b, n] + acts[b, n] * acts[b, 2 * H + n]
        for n in range(H):
            h[b, n] = before[b, n] if zone[b, n] else acts[b, 3 * H + n] * tanh(c[b, n])


@njit(cache=True, error_model="numpy", fastmath=True)
def gru_forward(inputs, hidden, bias, stale, zone, held, c, before, acts, h):
    """Advance a GRU: products (B, 3H) twice -> `acts` (B, 4H): r, z, candidate, its hidden part, in place."""
    B, H = h.shape
    for b in range(B):
        for n in range(2 * H):
            held[b, n] = held[b, n] if stale[b, n] else inputs[b, n] + hidden[b, n]
        for n in range(2 * H, 3 * H):
            held[b, n + H] = held[b, n + H] if stale[b, n] else hidden[b, n] + bias[n - 2 * H]
            held[b, n] = held[b, n] if stale[b, n] else inputs[b, n]
        for n in range(H):
            r, z = sigmoid(held[b, n]), sigmoid(held[b, H + n])
            part = held[b, 3 * H + n]
            candidate = tanh(held[b, 2 * H + n] + r * part)
            acts[b, n], acts[b, H + n], acts[b, 2 * H + n], acts[b, 3 * H + n] = r, z, candidate, part
            h[b, n] = before[b, n] if zone[b, n] else candidate + z * (before[b, n] - candidate)


FORWARD = {LSTM.name: lstm_forward, GRU.name: gru_forward}
"""Step kernels by the name of the cell."""
