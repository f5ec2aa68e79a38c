"""A whole trace through a network under one policy: outputs, predictions, activity."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from archsim.functional.batch import Batch, batches
from archsim.functional.direction import StoredWeights, run_direction, store_weights
from archsim.functional.head import accuracy, predict
from archsim.functional.inputs import Inputs
from archsim.functional.thresholds import Threshold, thresholds_per_gate
from archsim.ir.network import Network
from archsim.kernels.arrays import F32, U8
from archsim.policies.protocol import ReusePolicy
from archsim.traceio.activity import ActivityRecord, PassShape
from archsim.traceio.trace import Trace

Tick = Callable[[int], None]
"""Called with the number of sequences just finished."""


@dataclass(frozen=True)
class FunctionalResult:
    """What the network computed."""

    activity: ActivityRecord
    outputs: list[F32] | None
    """Top layer, (T, D·H) per sequence; None where not asked for."""
    predictions: list[int] | None
    """One class per sequence; None for a network without a head."""
    metric_value: float | None
    """The task metric against the trace's targets; None where either is missing."""


@dataclass(frozen=True)
class BatchResult:
    """What one batch of sequences computed."""

    batch: Batch
    top: list[F32]
    """Top-layer outputs by row of the batch."""
    decisions: dict[tuple[int, int], U8]
    """(layer, direction) to packed decisions, in the row order of the batch."""


@dataclass(frozen=True)
class NetworkRunner:
    """A network with its weights as the machine stores them, ready to run batches."""

    network: Network
    inputs: Inputs
    policy: ReusePolicy
    thresholds: list[F32]
    weights: list[list[StoredWeights]]

    def run(self, batch: Batch) -> BatchResult:
        """Run all layers over a batch. Batches share nothing, so they may run side by side."""
        hidden = [self.inputs.of(sequence) for sequence in batch.sequences.tolist()]
        decisions: dict[tuple[int, int], U8] = {}
        for index, layer in enumerate(self.network.layers):
            sides = []
            for d, direction in enumerate(layer.directions):
                packed = batch.pack(hidden, reverse=direction.reverse)
                outputs, decisions[index, d] = run_direction(
                    layer,
                    self.weights[index][d],
                    packed,
                    batch,
                    self.policy,
                    self.thresholds[index],
                    self.inputs.as_half,
                )
                sides.append(batch.unpack(outputs, reverse=direction.reverse))
            hidden = sides[0] if len(sides) == 1 else [np.hstack(parts) for parts in zip(*sides, strict=True)]
        return BatchResult(batch, hidden, decisions)


def run_functional(
    network: Network,
    trace: Trace,
    policy: ReusePolicy,
    threshold: Threshold = 0.0,
    *,
    precision: str = "fp16",
    keep_outputs: bool = True,
    threads: int | None = None,
    tick: Tick | None = None,
) -> FunctionalResult:
    """Run every sequence of `trace` through the recurrent layers of `network` (SEMANTICS 1).

    Memory grows with one bit per neuron evaluation, and with the outputs if they are kept. The answer does not
    depend on `threads` (default: one a core).
    """
    as_half = precision == "fp16"
    inputs = Inputs(network, trace, as_half=as_half)
    weights = [[store_weights(layer, d, as_half) for d in layer.directions] for layer in network.layers]
    runner = NetworkRunner(network, inputs, policy, thresholds_per_gate(network, threshold), weights)
    reuses = policy.name != "none"
    activity = (ActivityRecord.empty if reuses else ActivityRecord.without_reuse)(inputs.lengths, pass_shapes(network))
    outputs: list[F32] = [np.empty((0, 0), np.float32)] * len(trace)
    predictions = [0] * len(trace)
    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        for done in pool.map(runner.run, batches(inputs.lengths)):
            if reuses:
                _record(activity, done)
            for sequence, top in zip(done.batch.sequences.tolist(), done.top, strict=True):
                if keep_outputs:
                    outputs[sequence] = np.ascontiguousarray(top)
                if network.head is not None:
                    predictions[sequence] = predict(network.head, top)
            if tick is not None:
                tick(done.batch.sequences.size)
    has_metric = network.metric is not None and network.head is not None
    return FunctionalResult(
        activity=activity,
        outputs=outputs if keep_outputs else None,
        predictions=predictions if network.head is not None else None,
        metric_value=accuracy(predictions, trace.targets) if has_metric and trace.targets is not None else None,
    )


def pass_shapes(network: Network) -> tuple[PassShape, ...]:
    """The passes over a sequence in machine order: layer by layer, one direction after the other."""
    return tuple(
        PassShape(index, d, layer.cell.n_gates, layer.hidden_size, layer.joint_size)
        for index, layer in enumerate(network.layers)
        for d in range(len(layer.directions))
    )


def _record(activity: ActivityRecord, done: BatchResult) -> None:
    for place, decisions in done.decisions.items():
        for position, sequence in enumerate(done.batch.sequences.tolist()):
            first, last = activity.offsets[sequence], activity.offsets[sequence + 1]
            activity.bits[place][first:last] = decisions[done.batch.rows_of(position)]
