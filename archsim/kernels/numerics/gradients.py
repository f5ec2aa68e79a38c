"""Gradients of one step of a cell whose products may be memoized: each goes to the step that evaluated the product.

Loops are many and short because the compiler puts a loop over few arrays into vector lanes. Sums may be
reordered (fastmath): training needs the speed, not the last bit.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit

from archsim.kernels.arrays import F32, Bools, check_shapes
from archsim.kernels.numerics.activation import tanh

ONE, ZERO = np.float32(1), np.float32(0)


def lstm_backward(
    acts: F32, c_before: F32, c: F32, held: Bools, zone: Bools, dh: F32, dc: F32, carry: F32, d_products: F32
) -> None:
    """Write the gradient of the products evaluated in a step; `dh`, `dc` and `carry` move one step back in place.

    acts (B, 4H): gates i, f, g, o; held (B, 4H): products that were kept; zone (B, H): hidden values that were kept.
    carry (B, 4H) brings the gradient of products that later steps held. dh becomes what goes past the products.
    """
    (B, H), wide = dh.shape, (dh.shape[0], 4 * dh.shape[1])
    check_shapes(acts=(acts, wide), c_before=(c_before, (B, H)), c=(c, (B, H)), held=(held, wide), zone=(zone, (B, H)))
    check_shapes(dc=(dc, (B, H)), carry=(carry, wide), d_products=(d_products, wide))
    _lstm_backward(acts, c_before, c, held, zone, dh, dc, carry, d_products)


def gru_backward(
    acts: F32, before: F32, held: Bools, zone: Bools, dh: F32, carry: F32, d_inputs: F32, d_hidden: F32
) -> None:
    """As `lstm_backward`, for a GRU (reset after the product), whose candidate has two products.

    acts (B, 4H): r, z, candidate, its hidden part with bias; before (B, H): h of the step before; held (B, 3H);
    d_inputs, d_hidden (B, 3H): gradients of the products with x and with h.
    """
    (B, H), wide = dh.shape, (dh.shape[0], 3 * dh.shape[1])
    check_shapes(acts=(acts, (B, 4 * H)), before=(before, (B, H)), held=(held, wide), zone=(zone, (B, H)))
    check_shapes(carry=(carry, (B, 4 * H)), d_inputs=(d_inputs, wide), d_hidden=(d_hidden, wide))
    _gru_backward(acts, before, held, zone, dh, carry, d_inputs, d_hidden)


@njit(cache=True, error_model="numpy", fastmath=True)
def _lstm_backward(acts, c_before, c, held, zone, dh, dc, carry, d_inputs):
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
            carry[b, n] = total if held[b, n] else ZERO
            d_inputs[b, n] = ZERO if held[b, n] else total


@njit(cache=True, error_model="numpy", fastmath=True)
def _gru_backward(acts, before, held, zone, dh, carry, d_inputs, d_hidden):
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
            d, kept = d_inputs[b, n], held[b, n]
            carry[b, n] = d if kept else ZERO
            d_inputs[b, n] = ZERO if kept else d
            if n < 2 * H:
                d_hidden[b, n] = d_inputs[b, n]
            else:
                carry[b, n + H] = d_hidden[b, n] if kept else ZERO
                d_hidden[b, n] = ZERO if kept else d_hidden[b, n]
