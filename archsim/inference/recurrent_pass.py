"""Pass of one (layer, direction) over a batch: products, reuse decisions, memo and cell update at every step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from archsim.errors import NetworkError
from archsim.inference.batching import Batch
from archsim.inference.gate_group import GateGroup, check_unit, group_contexts
from archsim.inference.weights import StoredWeights
from archsim.ir.layers import Layer, State, zero_state
from archsim.kernels.arrays import F32, U8
from archsim.kernels.numerics.cells import reset_hidden, update_cell
from archsim.kernels.numerics.fp16 import FP16_MAX
from archsim.kernels.numerics.products import accumulate
from archsim.kernels.numerics.rounding import stored
from archsim.kernels.prediction.recurrent_steps import Group, run_steps
from archsim.policies.protocol import PassContext, ReusePolicy
from archsim.units import ceil_div

CHUNK_ROWS = 4096
"""Rows whose input products are computed at once, which bounds memory for long sequences."""


def begin_state(layer: Layer, weights: StoredWeights, size: int, start: State | None) -> State:
    """Return zeros for `size` sequences, or a copy of `start`, the final state of another layer, h as it is stored."""
    if start is not None:
        return State(stored(start.h.copy(), weights.update.rounding), start.c.copy())
    return zero_state(size, layer.recurrent_size, layer.hidden_size)


def update_cells(layer: Layer, weights: StoredWeights, products: F32, state: State) -> F32:
    """Advance the first B sequences from their products (B, P, H); return h (B, R), a view into the state."""
    B = products.shape[0]
    h, c = state.h[:B], state.c[:B]
    update_cell(weights.update, products, c, h)
    check_finite(layer, h, fp16=weights.update.rounding.fp16)
    return h


def check_finite(layer: Layer, h: F32, *, fp16: bool) -> None:
    """Raise NetworkError for h (..., H) of a cell without bounds that has outgrown its number format."""
    if not layer.cell.is_bounded and not np.isfinite(h).all():
        largest, way_out = (f"{FP16_MAX:g}", ", or use precision fp32") if fp16 else ("float32", "")
        raise NetworkError(
            f"{layer.name}: h of a {layer.cell.name} grows beyond {largest} on these inputs: need smaller ones{way_out}"
        )


class LayerPass(Protocol):
    """A pass in progress over a batch, the same for policies that reuse neurons and for those that skip columns."""

    layer: Layer
    state: State
    bytes_per_step: int
    """Bytes of bit-packed decisions per sequence and step."""

    def stored_inputs(self, inputs: F32) -> F32:
        """Return inputs (rows, I) as the machine stores them for this layer."""

    def input_products(self, inputs: F32) -> F32:
        """Return the products that do not depend on h, (rows, I) to (rows, any), from stored inputs."""

    def advance(self, index: int, inputs: F32, products: F32) -> tuple[F32, U8]:
        """Run one step from its inputs (B, I) and input products; return h (B, H) and bit-packed decisions."""

    def run(self, window: Batch, inputs: F32, products: F32) -> tuple[F32, U8]:
        """Run the steps of a window from step-major rows; return step-major h and bit-packed decisions."""


class RecurrentPass:
    """A pass whose policy reuses neurons. Its memos start empty and live for this pass only (SEMANTICS 1.4).

    All steps run in one kernel call if the policy decides in a kernel. A plug-in that decides in Python is called at
    every step, once per group of gates.
    Raises ConfigError for a policy that breaks its contract.
    """

    def __init__(
        self,
        layer: Layer,
        weights: StoredWeights,
        policy: ReusePolicy,
        context: PassContext,
        *,
        fp16_memo: bool,
        start: State | None = None,
    ) -> None:
        self.layer = layer
        self.weights = weights
        self.policy = policy
        self.state = begin_state(layer, weights, context.batch, start)
        self.bytes_per_step = ceil_div(layer.neurons_per_step, 8)
        self.groups = [
            GateGroup(gates, layer, weights, policy, of_group, self.state, fp16_memo=fp16_memo)
            for gates, of_group in zip(layer.cell.gate_groups, group_contexts(context, layer), strict=True)
        ]

    @property
    def _kernel_groups(self) -> list[Group] | None:
        """Arrays and deciders of the groups; None where a plug-in's own `decide` has to be called."""
        groups = [(group.arrays, group.decider) for group in self.groups if group.decider is not None]
        return groups if len(groups) == len(self.groups) else None

    def stored_inputs(self, inputs: F32) -> F32:
        """Return inputs (rows, I) as the machine stores them for this layer."""
        return stored(inputs, self.weights.x_rounding)

    def input_products(self, inputs: F32) -> F32:
        """Return the part of each dot product that does not depend on h, (rows, I) to (rows, P·H)."""
        products = np.zeros((inputs.shape[0], self.weights.of_x.n_products), np.float32)
        accumulate(inputs, self.weights.of_x, products)
        return products

    def run(self, window: Batch, inputs: F32, products: F32) -> tuple[F32, U8]:
        """Run the steps of a window from step-major inputs (rows, I) and input products (rows, P·H).

        Returns step-major h (rows, R) and bit-packed decisions (rows, bytes). On return `products` holds what the cell
        updates used, memoized where reused.
        """
        if (groups := self._kernel_groups) is None:
            return step_by_step(self, window, inputs, products)
        outputs, reused = run_steps(groups, window.start, window.active, inputs, products)
        check_finite(self.layer, outputs, fp16=self.weights.update.rounding.fp16)
        check_unit(self.policy, reused)
        return outputs, np.packbits(reused.reshape(len(reused), -1), axis=1)

    def advance(self, index: int, inputs: F32, products: F32) -> tuple[F32, U8]:
        """Run step `index` of the first B sequences from their inputs (B, I) and input products.

        Returns h (B, H), which the next step may overwrite, and the bit-packed decisions (B, bytes). On
        return `products` (B, P·H), contiguous, holds what the cell update used, memoized where reused.
        """
        if self._kernel_groups is None:
            return self._advance_in_python(index, inputs, products)
        step = Batch.of(np.arange(len(inputs)), np.ones(len(inputs), np.int64), index)
        return self.run(step, inputs, products)

    def _advance_in_python(self, index: int, inputs: F32, products: F32) -> tuple[F32, U8]:
        """Run step `index` as `advance` does, for a policy that decides in Python."""
        B, H = len(inputs), self.layer.hidden_size
        h = self.state.h[:B]
        reused = [self.groups[0].finish_products(index, inputs, h, products)]
        if self.layer.cell.resets_before:
            reset_h = reset_hidden(self.weights.update, products.reshape(B, -1, H), h)
            reused.append(self.groups[1].finish_products(index, inputs, reset_h, products))
        h = update_cells(self.layer, self.weights, products.reshape(B, -1, H), self.state)
        return h, np.packbits(np.concatenate(reused, axis=1).reshape(B, -1), axis=1)


InputProducts = Callable[[slice], F32]
"""Function that returns the input products of step-major rows in an array that its caller may overwrite."""


def run_direction(layer_pass: LayerPass, inputs: F32, batch: Batch, input_products: InputProducts) -> tuple[F32, U8]:
    """Run a pass over step-major inputs (rows, I); return step-major outputs (rows, R) and bit-packed decisions."""
    outputs = np.empty((inputs.shape[0], layer_pass.layer.recurrent_size), np.float32)
    decisions = np.empty((inputs.shape[0], layer_pass.bytes_per_step), np.uint8)
    first = 0
    for window in batch.windows(max(1, CHUNK_ROWS // batch.sequences.size)):
        rows = slice(first, first + window.n_rows)
        outputs[rows], decisions[rows] = layer_pass.run(window, inputs[rows], input_products(rows))
        first = rows.stop
    return outputs, decisions


def step_by_step(layer_pass: LayerPass, window: Batch, inputs: F32, products: F32) -> tuple[F32, U8]:
    """Run the steps of a window one by one; return step-major h and bit-packed decisions."""
    outputs = np.empty((inputs.shape[0], layer_pass.layer.recurrent_size), np.float32)
    decisions = np.empty((inputs.shape[0], layer_pass.bytes_per_step), np.uint8)
    for index, rows in enumerate(window.steps(), window.start):
        outputs[rows], decisions[rows] = layer_pass.advance(index, inputs[rows], products[rows])
    return outputs, decisions
