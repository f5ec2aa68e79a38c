"""Encoder layers in progress over a batch of sequences, and the passes that they are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archsim.activity import PassKey
from archsim.cores import run_parallel
from archsim.inference.batching import Batch
from archsim.inference.delta_pass import ColumnSkippingPass
from archsim.inference.policy_parameters import means_for, scales_for
from archsim.inference.precision import arithmetic_of
from archsim.inference.recurrent_pass import LayerPass, RecurrentPass, run_direction
from archsim.inference.weights import store_network
from archsim.ir.layers import State
from archsim.ir.network import Network
from archsim.kernels.arrays import F32, U8
from archsim.policies import PassContext, Policy, saves_work, skips_columns

States = Mapping[PassKey, State]
"""States (B, H) by layer and direction; one that is missing is zero."""
SharedProducts = Callable[[int, Batch, slice, Callable[[], F32]], F32]
"""Function that finds the first layer's input products of a direction, window and rows, or computes them."""


class PassFactory:
    """Factory of passes, with the stored weights of a network and the θ and scales of a policy on it.

    Raises NetworkError for a weight beyond the range of binary16, ConfigError if the network
    lacks the scales that the policy or the precision needs.
    """

    def __init__(self, network: Network, policy: Policy, thresholds: list[F32], *, precision: str) -> None:
        self.network = network
        self.policy = policy
        self.thresholds = thresholds
        self.precision = arithmetic_of(precision)
        self.scales = scales_for(network, policy)
        self.means = means_for(network, policy)
        self.weights = store_network(network, self.precision)

    def begin(self, index: int, direction: int, size: int, start: State | None = None) -> LayerPass:
        """Begin the pass of a (layer, direction) over `size` sequences; its state is zero, or a copy of `start`."""
        layer, weights = self.network.layers[index], self.weights[index][direction]
        policy, theta = self.policy, self.thresholds[index]
        if skips_columns(policy):
            # Gates share columns, so all θ of a layer are equal.
            return ColumnSkippingPass(layer, weights, policy, float(theta[0]), size, start=start)
        context = PassContext(
            weight_ih=weights.weight_ih,
            weight_hh=weights.weight_hh,
            n_gates=layer.cell.n_gates,
            n_units=layer.hidden_size,
            batch=size,
            thresholds=theta,
            pass_key=(index, direction),
            scales=self.scales[index, direction] if self.scales else None,
            means=self.means[index] if self.means else None,
        )
        return RecurrentPass(layer, weights, policy, context, fp16_memo=self.precision.fp16_memo, start=start)


class EncoderRun:
    """Encoder layers in progress over a batch, advanced window by window on inputs that the caller gives.

    A layer needs all steps in one window if a direction of it is reverse.
    """

    def __init__(
        self, passes: PassFactory, size: int, starts: States, pool: Executor | None, share: SharedProducts | None = None
    ) -> None:
        self.pool = pool
        self.share = share
        self.saves_work = saves_work(passes.policy)
        self.layers = [
            [passes.begin(i, d, size, start=starts.get((i, d))) for d in range(len(layer.directions))]
            for i, layer in enumerate(passes.network.encoder)
        ]
        keys = [(i, d) for i, layer in enumerate(self.layers) for d in range(len(layer))]
        self.pass_decisions: dict[PassKey, list[U8]] = {key: [] for key in keys}

    @property
    def states(self) -> dict[PassKey, State]:
        """States after the last step of each sequence so far, by layer and direction; the next step changes them."""
        return {(i, d): self.layers[i][d].state for i, d in self.pass_decisions}

    def advance(self, window: Batch, values: F32) -> list[F32]:
        """Run the steps of a window from step-major inputs (rows, I); return the outputs (rows, D·H) of each layer."""
        layer_outputs = []
        for index, layer in enumerate(self.layers):
            tasks = [partial(self._run, (index, d), values, window) for d in range(len(layer))]
            outputs, decisions = zip(*run_parallel(self.pool, tasks), strict=True)
            values = outputs[0] if len(outputs) == 1 else np.hstack(outputs)
            layer_outputs.append(values)
            for d, of_pass in enumerate(decisions if self.saves_work else ()):
                self.pass_decisions[index, d].append(of_pass)
        return layer_outputs

    def decisions(self, batch: Batch) -> dict[PassKey, list[U8]]:
        """Return the bit-packed decisions (T, bytes) per sequence of the batch whose windows were run."""
        if self.saves_work:
            return {key: batch.by_sequence(joined(pieces)) for key, pieces in self.pass_decisions.items()}
        return {(i, d): _no_reuse(batch, self.layers[i][d].bytes_per_step) for i, d in self.pass_decisions}

    def _run(self, pass_key: PassKey, values: F32, window: Batch) -> tuple[F32, U8]:
        """Run one pass over step-major inputs; return its outputs and bit-packed decisions.

        Inputs and outputs are in the order of the sequence also for a reverse pass; decisions in the order of the pass.
        """
        index, d = pass_key
        layer_pass = self.layers[index][d]
        # The permutation that reverses sequences is its own inverse, so it also puts the outputs back in order.
        order = window.backwards() if layer_pass.layer.directions[d].reverse else slice(None)
        inputs = layer_pass.stored_inputs(values[order])

        def compute(rows: slice) -> F32:
            return layer_pass.input_products(inputs[rows])

        def find_or_compute(rows: slice) -> F32:
            return compute(rows) if self.share is None else self.share(d, window, rows, partial(compute, rows))

        # Only the first layer's inputs are the same for every policy and θ.
        outputs, decisions = run_direction(layer_pass, inputs, window, find_or_compute if index == 0 else compute)
        return outputs[order], decisions


def _no_reuse(batch: Batch, n_bytes: int) -> list[U8]:
    """Return decisions that are all 0, (T, n_bytes) per sequence, as views of a single byte."""
    return [np.broadcast_to(np.uint8(0), (n_steps, n_bytes)) for n_steps in batch.lengths.tolist()]


def joined(pieces: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return the rows of all windows in one array."""
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
