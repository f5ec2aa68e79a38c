"""All steps of one (layer, direction) as one torch operation: forward is the simulator's, backward its gradient.

The gradient of a reused product goes to the step that evaluated it, not to the step that reads it. So it is the exact
gradient of what is computed, decisions held fixed: a weight learns what its product does at all the steps that will
read it, and a step whose products are all reused passes nothing on to its inputs, as on the machine. (As if every
product had been evaluated, training would improve products that nobody reads.) Rounding to binary16 passes gradients
unchanged, and a correction of what is reused counts as a constant.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from archsim.inference.batching import Batch
from archsim.inference.recurrent_pass import RecurrentPass
from archsim.ir.cells import is_lstm
from archsim.kernels.arrays import F32, U8, Bools
from archsim.kernels.numerics.fp16 import to_fp16
from archsim.kernels.numerics.gradients import gru_backward, lstm_backward
from archsim.units import ceil_div


class Taken(NamedTuple):
    """What a pass over packed rows leaves behind."""

    outputs: F32
    """h after each row's step, (rows, H)."""
    cells: F32
    """c after it, (rows, H)."""
    products: F32
    """What the cell update read, (rows, P, H)."""
    decisions: U8
    """Packed, (rows, bytes)."""


def take_steps(running: RecurrentPass, inputs: F32, batch: Batch) -> Taken:
    """Run a pass over packed inputs (rows, I) as `run_direction` does, and keep what its gradient needs."""
    layer, rows = running.layer, len(inputs)
    outputs, cells = np.empty((2, rows, layer.hidden_size), np.float32)
    decisions = np.empty((rows, ceil_div(layer.neurons_per_step, 8)), np.uint8)
    products = running.input_products(inputs)
    for index, now in enumerate(batch.steps()):
        outputs[now], decisions[now] = running.advance(index, inputs[now], products[now])
        cells[now] = running.state.c[: now.stop - now.start]
    return Taken(outputs, cells, products.reshape(rows, layer.cell.n_products, -1), decisions)


class Parameters(NamedTuple):
    """The parameters of one (layer, direction), as torch names them."""

    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    bias_hh: Tensor | None


class RoundToFp16(torch.autograd.Function):
    """Values as binary16 holds them, gradients unchanged."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        """Round float32 values."""
        return torch.from_numpy(to_fp16(values.numpy()))

    @staticmethod
    def backward(ctx: Any, d_values: Tensor) -> Tensor:
        """Pass the gradient on."""
        return d_values


class MemoizedSteps(torch.autograd.Function):
    """A pass over packed rows; what it decides is appended to `decided`."""

    @staticmethod
    def forward(
        ctx: Any, running: RecurrentPass, batch: Batch, decided: list[U8], inputs: Tensor, *weights: Tensor | None
    ) -> Tensor:
        """Map inputs (rows, I) to hidden values (rows, H); `weights` are those of `running`, before rounding."""
        taken = take_steps(running, inputs.numpy(), batch)
        decided.append(taken.decisions)
        ctx.running, ctx.batch, ctx.taken, ctx.has_bias = running, batch, taken, weights[-1] is not None
        ctx.save_for_backward(inputs)
        return torch.from_numpy(taken.outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_outputs: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of the inputs and of the weights."""
        (inputs,), stored = ctx.saved_tensors, ctx.running.weights
        before = _before(ctx.taken.outputs, ctx.batch)
        d_products, d_hidden = _product_gradients(ctx.running, ctx.batch, ctx.taken, before, d_outputs)
        d_bias = (d_products.sum(0), d_hidden.sum(0)) if ctx.has_bias else (None, None)
        d_weights = d_products.T @ inputs, d_hidden.T @ torch.from_numpy(before)
        return None, None, None, d_products @ torch.from_numpy(stored.weight_ih), *d_weights, *d_bias


def _product_gradients(
    running: RecurrentPass, batch: Batch, taken: Taken, before: F32, d_outputs: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients (rows, G·H) of the products with x and with h, step by step from the last to the first."""
    cell, (size, H) = running.layer.cell, running.state.h.shape
    acts, held, c_before = _activations(running, taken), _held(running, taken), _before(taken.cells, batch)
    weight_hh, zone = torch.from_numpy(running.weights.weight_hh), np.zeros((size, H), np.bool_)
    dh, dc, carry = torch.zeros(size, H), np.zeros((size, H), np.float32), np.zeros((size, 4 * H), np.float32)
    d_products = torch.empty(len(acts), cell.n_gates * H)
    d_hidden = d_products if is_lstm(cell) else torch.empty_like(d_products)
    for now in reversed(list(batch.steps())):
        rows = slice(0, now.stop - now.start)
        dh[rows] += d_outputs[now]
        kept, free, into_h, past, d_now = held[now], zone[rows], dh[rows].numpy(), carry[rows], d_products[now].numpy()
        if is_lstm(cell):
            lstm_backward(acts[now], c_before[now], taken.cells[now], kept, free, into_h, dc[rows], past, d_now)
        else:
            gru_backward(acts[now], before[now], kept, free, into_h, past, d_now, d_hidden[now].numpy())
        dh[rows] += d_hidden[now] @ weight_hh
    return d_products, d_hidden


def _activations(running: RecurrentPass, taken: Taken) -> F32:
    """What the gradient kernels need of each step, (rows, 4·H)."""
    acts = torch.from_numpy(taken.products + running.weights.bias)
    if is_lstm(running.layer.cell):
        acts[:, 2].tanh_()
        acts[:, :2].sigmoid_()
        acts[:, 3].sigmoid_()
    else:
        acts[:, :2].sigmoid_()
        acts[:, 2].addcmul_(acts[:, 0], acts[:, 3]).tanh_()
    return np.asarray(acts.flatten(1).numpy(), np.float32)


def _held(running: RecurrentPass, taken: Taken) -> Bools:
    """Which neurons were reused, (rows, G·H)."""
    bits = np.unpackbits(taken.decisions, axis=1, count=running.layer.neurons_per_step)
    return bits.view(np.bool_)


def _before(values: F32, batch: Batch) -> F32:
    """The values (rows, H) of the step before, zero at step 0."""
    before = np.zeros_like(values)
    before[batch.active[0] :] = values[batch.rows_before()]
    return before
