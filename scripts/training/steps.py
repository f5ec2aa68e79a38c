"""One step of a cell and of its gradient, as numba kernels that write in place.

Loops are many and short because the compiler puts a loop over few arrays into vector lanes. Sums may be
reordered (fastmath): training needs the speed, not the last bit.

All arrays are float32 but for `stale` and `zone`, which hold booleans. A GRU's candidate has two products,
its input part and its hidden part, hence `held` (B, 4H) for both cells.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from archsim.kernels.activation import sigmoid, tanh

ONE, ZERO = np.float32(1), np.float32(0)


@njit(cache=True, error_model="numpy", fastmath=True)
def lstm_forward(inputs, hidden, stale, zone, held, c, before, acts, h):
    """Products (B, 4H) -> gates `acts` (B, 4H); `held` and `c` advance; `h` follows `before`."""
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
def lstm_backward(acts, c_before, c, stale, zone, dh, dc, carry, d_inputs):
    """Gradient of `lstm_forward`: dh (into h) becomes what goes past the products, dc moves one step back.

    `carry` (B, 4H) brings the gradient of products that later steps held.
    """
    B, H = dh.shape
    for b in range(B):
        for n in range(H):
            i, f, g, o = acts[b, n], acts[b, H + n], acts[b, 2 * H + n], acts[b, 3 * H + n]
            d = ZERO if zone[b, n] else dh[b, n]
            dh[b, n] -= d
            squashed = tanh(c[b, n])
            into_c = dc[b, n] + d * o * (ONE - squashed * squashed)
            dc[b, n] = into_c * f
            d_inputs[b, n] = into_c * g * i * (ONE - i)
            d_inputs[b, H + n] = into_c * c_before[b, n] * f * (ONE - f)
            d_inputs[b, 2 * H + n] = into_c * i * (ONE - g * g)
            d_inputs[b, 3 * H + n] = d * squashed * o * (ONE - o)
        for n in range(4 * H):
            total = d_inputs[b, n] + carry[b, n]
            carry[b, n] = total if stale[b, n] else ZERO
            d_inputs[b, n] = ZERO if stale[b, n] else total


@njit(cache=True, error_model="numpy", fastmath=True)
def gru_forward(inputs, hidden, bias, stale, zone, held, before, acts, h):
    """Products (B, 3H) twice -> `acts` (B, 4H): r, z, candidate, its hidden part; `held` advances."""
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


@njit(cache=True, error_model="numpy", fastmath=True)
def gru_backward(acts, before, stale, zone, dh, carry, d_inputs, d_hidden):
    """Gradient of `gru_forward`; `carry` (B, 4H) as in `lstm_backward`."""
    B, H = dh.shape
    for b in range(B):
        for n in range(H):
            r, z, candidate, part = acts[b, n], acts[b, H + n], acts[b, 2 * H + n], acts[b, 3 * H + n]
            d = ZERO if zone[b, n] else dh[b, n]
            dh[b, n] += d * z - d
            inner = d * (ONE - z) * (ONE - candidate * candidate)
            d_inputs[b, n] = inner * part * r * (ONE - r) + carry[b, n]
            d_inputs[b, H + n] = d * (before[b, n] - candidate) * z * (ONE - z) + carry[b, H + n]
            d_inputs[b, 2 * H + n] = inner + carry[b, 2 * H + n]
            d_hidden[b, 2 * H + n] = inner * r + carry[b, 3 * H + n]
        for n in range(3 * H):
            d, kept = d_inputs[b, n], stale[b, n]
            carry[b, n] = d if kept else ZERO
            d_inputs[b, n] = ZERO if kept else d
            if n < 2 * H:
                d_hidden[b, n] = d_inputs[b, n]
            else:
                carry[b, n + H] = d_hidden[b, n] if kept else ZERO
                d_hidden[b, n] = ZERO if kept else d_hidden[b, n]
