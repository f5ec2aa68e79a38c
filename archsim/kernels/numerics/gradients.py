"""Gradients of one step of a cell whose products may be memoized; each goes to the step that evaluated the product.

Loops are many and short because the compiler vectorises a loop over few arrays. Sums may be reordered (fastmath),
because training needs the speed and not the last bit.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from archsim.kernels.arrays import F32, Bools, check_shapes
from archsim.kernels.numerics.activation import tanh
from archsim.kernels.numerics.cells import GRU_KERNEL, LSTM_KERNEL, RNN_KERNEL, RNN_RELU_KERNEL

ONE, ZERO = np.float32(1), np.float32(0)


class StepRecord(NamedTuple):
    """Values of one forward step that its gradient needs, for B sequences."""

    acts: F32
    """Gates after their activation functions, (B, P·H); of a GRU r, z, the candidate, its hidden product with bias."""
    h_before: F32
    """h of the step before, (B, H)."""
    c_before: F32
    """c of the step before, (B, H)."""
    c: F32
    """c after the step, (B, H)."""
    reused: Bools
    """Neurons whose products were reused, (B, G·H)."""


def cell_backward(kernel_id: int, step: StepRecord, dh: F32, dc: F32, carry: F32, d_inputs: F32, d_hidden: F32) -> None:
    """Write the gradients of the products that a step evaluated: with x d_inputs, with h d_hidden, (B, G·H) each.

    Both are one array for a cell that has one product per gate. dh, dc (B, H) and carry (B, P·H) move one step back in
    place. carry brings the gradient of products that later steps reused; dh becomes the share that bypasses the
    products. Raises ValueError for a cell without a gradient.
    """
    (B, H), P = dh.shape, carry.shape[1] // dh.shape[1]
    per_gate = (B, d_inputs.shape[1])
    check_shapes(acts=(step.acts, (B, P * H)), h_before=(step.h_before, (B, H)), c_before=(step.c_before, (B, H)))
    check_shapes(c=(step.c, (B, H)), reused=(step.reused, per_gate))
    check_shapes(dc=(dc, (B, H)), carry=(carry, (B, P * H)))
    check_shapes(d_inputs=(d_inputs, per_gate), d_hidden=(d_hidden, per_gate))
    if kernel_id == LSTM_KERNEL:
        _lstm_backward(step.acts, step.c_before, step.c, step.reused, dh, dc, carry, d_inputs)
    elif kernel_id == GRU_KERNEL:
        _gru_backward(step.acts, step.h_before, step.reused, dh, carry, d_inputs, d_hidden)
    elif kernel_id in (RNN_KERNEL, RNN_RELU_KERNEL):
        _rnn_backward(step.acts, kernel_id == RNN_RELU_KERNEL, step.reused, dh, carry, d_inputs)
    else:
        raise ValueError(f"no gradient for the cell update of kernel id {kernel_id}")


@njit(cache=True, error_model="numpy", fastmath=True)
def _lstm_backward(acts, c_before, c, reused, dh, dc, carry, d_inputs):
    B, H = dh.shape
    for b in range(B):
        for n in range(H):
            i, f, g, o = acts[b, n], acts[b, H + n], acts[b, 2 * H + n], acts[b, 3 * H + n]
            d = dh[b, n]
            dh[b, n] = ZERO
            # h = o·tanh(c) and c = f·c' + i·g, with σ' = σ·(1-σ) and tanh' = 1 - tanh².
            tanh_c = tanh(c[b, n])
            into_c = dc[b, n] + d * o * (ONE - tanh_c * tanh_c)
            dc[b, n] = into_c * f  # the gradient of c'
            d_inputs[b, n] = into_c * g * i * (ONE - i)
            d_inputs[b, H + n] = into_c * c_before[b, n] * f * (ONE - f)
            d_inputs[b, 2 * H + n] = into_c * i * (ONE - g * g)
            d_inputs[b, 3 * H + n] = d * tanh_c * o * (ONE - o)
        # A reused product passes its gradient on to the step that evaluated it.
        for n in range(4 * H):
            total = d_inputs[b, n] + carry[b, n]
            carry[b, n] = total if reused[b, n] else ZERO
            d_inputs[b, n] = ZERO if reused[b, n] else total


@njit(cache=True, error_model="numpy", fastmath=True)
def _gru_backward(acts, h_before, reused, dh, carry, d_inputs, d_hidden):
    B, H = dh.shape
    for b in range(B):
        for n in range(H):
            r, z, candidate, hidden_product = acts[b, n], acts[b, H + n], acts[b, 2 * H + n], acts[b, 3 * H + n]
            d = dh[b, n]
            dh[b, n] = d * z  # through z·h'
            # h = (1-z)·n + z·h' with n = tanh(y_x + r·y_h): `inner` is the gradient of tanh's argument, so r gets
            # inner·y_h, y_x gets inner, y_h gets inner·r; z gets d·(h' - n).
            inner = d * (ONE - z) * (ONE - candidate * candidate)
            d_inputs[b, n] = inner * hidden_product * r * (ONE - r) + carry[b, n]
            d_inputs[b, H + n] = d * (h_before[b, n] - candidate) * z * (ONE - z) + carry[b, H + n]
            d_inputs[b, 2 * H + n] = inner + carry[b, 2 * H + n]
            d_hidden[b, 2 * H + n] = inner * r + carry[b, 3 * H + n]
        # r and z have one product each, shared by x and h; the candidate has two, and the second one's carry follows.
        for n in range(3 * H):
            d, kept = d_inputs[b, n], reused[b, n]
            carry[b, n] = d if kept else ZERO
            d_inputs[b, n] = ZERO if kept else d
            if n < 2 * H:
                d_hidden[b, n] = d_inputs[b, n]
            else:
                carry[b, n + H] = d_hidden[b, n] if kept else ZERO
                d_hidden[b, n] = ZERO if kept else d_hidden[b, n]


@njit(cache=True, error_model="numpy", fastmath=True)
def _rnn_backward(acts, is_relu, reused, dh, carry, d_inputs):
    B, H = dh.shape
    for b in range(B):
        for n in range(H):
            act, d = acts[b, n], dh[b, n]
            dh[b, n] = ZERO
            # tanh' = 1 - tanh²; ReLU' is 1 above 0, and 0 at 0 as in torch.
            slope = (ONE if act > ZERO else ZERO) if is_relu else ONE - act * act
            total = d * slope + carry[b, n]
            carry[b, n] = total if reused[b, n] else ZERO
            d_inputs[b, n] = ZERO if reused[b, n] else total
