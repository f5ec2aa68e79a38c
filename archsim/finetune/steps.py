"""All steps of one (layer, direction) as one torch operation: forward is the simulator's, backward its gradient.

The gradient of a reused product goes to the step that evaluated it, not to the step that reads it. It is therefore the
exact gradient of the computation with decisions held fixed. A weight learns from all the steps that will read its
product, and a step whose products are all reused passes no gradient to its inputs, as on the machine. If every product
counted as evaluated, training would improve products that nobody reads. Rounding to binary16 passes gradients
unchanged, and a correction of reused products counts as a constant.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from archsim.errors import ConfigError
from archsim.inference.batching import Batch
from archsim.inference.recurrent_pass import RecurrentPass
from archsim.ir.cells import SIGMOID
from archsim.ir.layers import Layer
from archsim.kernels.arrays import F32, U8, Bools
from archsim.kernels.numerics.cells import GRU_KERNEL, LSTM_KERNEL, RNN_KERNEL, RNN_RELU_KERNEL
from archsim.kernels.numerics.fp16 import to_fp16
from archsim.kernels.numerics.gradients import StepRecord, cell_backward
from archsim.units import ceil_div


class PassRecord(NamedTuple):
    """Values of a forward pass over step-major rows that its gradient needs."""

    outputs: F32
    """h after each row's step, (rows, H)."""
    cells: F32
    """c after each row's step, (rows, H)."""
    products: F32
    """Products that the cell update read, (rows, P, H)."""
    decisions: U8
    """Bit-packed decisions, (rows, bytes)."""


def run_and_record(layer_pass: RecurrentPass, inputs: F32, batch: Batch) -> PassRecord:
    """Run a pass over step-major inputs (rows, I) as `run_direction` does; return what its gradient needs."""
    layer, rows = layer_pass.layer, len(inputs)
    outputs, cells = np.empty((2, rows, layer.hidden_size), np.float32)
    decisions = np.empty((rows, ceil_div(layer.neurons_per_step, 8)), np.uint8)
    products = layer_pass.input_products(inputs)
    for index, now in enumerate(batch.steps()):
        outputs[now], decisions[now] = layer_pass.advance(index, inputs[now], products[now])
        cells[now] = layer_pass.state.c[: now.stop - now.start]
    return PassRecord(outputs, cells, products.reshape(rows, layer.cell.n_products, -1), decisions)


class Parameters(NamedTuple):
    """The parameters of one (layer, direction), as torch names them."""

    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    bias_hh: Tensor | None


class RoundToFp16(torch.autograd.Function):
    """Rounding of values to binary16 that leaves gradients unchanged."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        """Return float32 values rounded to binary16."""
        return torch.from_numpy(to_fp16(values.numpy()))

    @staticmethod
    def backward(ctx: Any, d_values: Tensor) -> Tensor:
        """Return the gradient as it came."""
        return d_values


class MemoizedSteps(torch.autograd.Function):
    """A pass over step-major rows that appends its bit-packed decisions to a list."""

    @staticmethod
    def forward(
        ctx: Any, layer_pass: RecurrentPass, batch: Batch, decisions: list[U8], inputs: Tensor, *weights: Tensor | None
    ) -> Tensor:
        """Map inputs (rows, I) to hidden values (rows, H); `weights` are those of `layer_pass`, before rounding."""
        record = run_and_record(layer_pass, inputs.numpy(), batch)
        decisions.append(record.decisions)
        ctx.layer_pass = layer_pass
        ctx.batch = batch
        ctx.record = record
        ctx.has_bias = weights[-1] is not None
        ctx.save_for_backward(inputs)
        return torch.from_numpy(record.outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_outputs: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of the inputs and of the weights."""
        (inputs,), stored = ctx.saved_tensors, ctx.layer_pass.weights
        h_before = _before(ctx.record.outputs, ctx.batch)
        d_inputs, d_hidden = _product_gradients(ctx.layer_pass, ctx.batch, ctx.record, h_before, d_outputs)
        d_bias = (d_inputs.sum(0), d_hidden.sum(0)) if ctx.has_bias else (None, None)
        d_weights = d_inputs.T @ inputs, d_hidden.T @ torch.from_numpy(h_before)
        return None, None, None, d_inputs @ torch.from_numpy(stored.weight_ih), *d_weights, *d_bias


def _product_gradients(
    layer_pass: RecurrentPass, batch: Batch, record: PassRecord, h_before: F32, d_outputs: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the gradients (rows, G·H) of the products with x and with h, found from the last step to the first."""
    cell, (size, H) = layer_pass.layer.cell, layer_pass.state.h.shape
    acts, reused, c_before = _activations(layer_pass, record), _reused(layer_pass, record), _before(record.cells, batch)
    weight_hh = torch.from_numpy(layer_pass.weights.weight_hh)
    dh, dc, carry = torch.zeros(size, H), np.zeros((size, H), np.float32), np.zeros((size, acts.shape[1]), np.float32)
    d_inputs = torch.empty(len(acts), cell.n_gates * H)
    # A single product per gate sums x's part and h's part, so both parts have the same gradient.
    d_hidden = d_inputs if cell.n_products == cell.n_gates else torch.empty_like(d_inputs)
    for now in reversed(list(batch.steps())):
        rows = slice(0, now.stop - now.start)
        dh[rows] += d_outputs[now]
        step = StepRecord(acts[now], h_before[now], c_before[now], record.cells[now], reused[now])
        passed_back = dh[rows].numpy(), dc[rows], carry[rows]
        cell_backward(cell.kernel_id, step, *passed_back, d_inputs[now].numpy(), d_hidden[now].numpy())
        dh[rows] += d_hidden[now] @ weight_hh
    return d_inputs, d_hidden


def _activate_lstm(acts: Tensor) -> None:
    acts[:, 2].tanh_()
    acts[:, :2].sigmoid_()
    acts[:, 3].sigmoid_()


def _activate_gru(acts: Tensor) -> None:
    acts[:, :2].sigmoid_()
    acts[:, 2].addcmul_(acts[:, 0], acts[:, 3]).tanh_()


ACTIVATIONS: dict[int, Callable[[Tensor], object]] = {
    LSTM_KERNEL: _activate_lstm,
    GRU_KERNEL: _activate_gru,
    RNN_KERNEL: Tensor.tanh_,
    RNN_RELU_KERNEL: Tensor.relu_,
}
"""Activation functions, applied in place to products with bias (rows, P, H), by kernel id."""


def check_trainable(layer: Layer) -> None:
    """Raise ConfigError for a layer whose gradient is not known here."""
    if layer.cell.kernel_id not in ACTIVATIONS or layer.cell.gate_activation != SIGMOID:
        raise ConfigError(f"archsim.finetune has no gradient for cell {layer.cell.name!r}")
    if layer.projection_size:
        raise ConfigError(f"archsim.finetune has no gradient for a projection (proj_size = {layer.projection_size})")


def _activations(layer_pass: RecurrentPass, record: PassRecord) -> F32:
    """Return the gates of each step as the gradient kernels need them, (rows, P·H)."""
    acts = torch.from_numpy(record.products + layer_pass.weights.update.bias)
    ACTIVATIONS[layer_pass.layer.cell.kernel_id](acts)
    return np.asarray(acts.flatten(1).numpy(), np.float32)


def _reused(layer_pass: RecurrentPass, record: PassRecord) -> Bools:
    """Return which neurons were reused, (rows, G·H)."""
    bits = np.unpackbits(record.decisions, axis=1, count=layer_pass.layer.neurons_per_step)
    return bits.view(np.bool_)


def _before(values: F32, batch: Batch) -> F32:
    """Return the values (rows, H) of the step before, zero at step 0."""
    before = np.zeros_like(values)
    before[batch.active[0] :] = values[batch.rows_before()]
    return before
