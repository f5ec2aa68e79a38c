"""A whole trace through a network under one policy: outputs, predictions, activity."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from archsim.errors import ConfigError
from archsim.functional.batch import Batch, batches
from archsim.functional.direction import run_direction
from archsim.functional.head import accuracy, has_metric, predict
from archsim.functional.inputs import Inputs
from archsim.functional.thresholds import Threshold, thresholds_per_gate
from archsim.functional.weights import StoredWeights, store_weights
from archsim.ir.network import Network
from archsim.kernels.arrays import F32, I64, U8
from archsim.policies.protocol import ReusePolicy
from archsim.traceio.activity import ActivityRecord, PassShape
from archsim.traceio.trace import Trace

PRECISIONS = ("fp16", "fp32")
Tick = Callable[[int], None]
"""Called with the number of sequences just finished."""


@dataclass(frozen=True, eq=False)
class FunctionalResult:
    """What the network computed."""

    activity: ActivityRecord
    outputs: list[F32] | None
    """Top layer, (T, D·H) per sequence; None where not asked for."""
    predictions: list[int] | None
    """One class per sequence; None for a network without a head."""
    metric_value: float | None
    """The task metric against the trace's targets; None where either is missing."""


@dataclass(frozen=True, eq=False)
class BatchResult:
    """What one batch of sequences computed."""

    batch: Batch
    top: list[F32]
    """Top-layer outputs by row of the batch."""
    decisions: dict[tuple[int, int], U8]
    """(layer, direction) to packed decisions, in the row order of the batch."""


@dataclass(frozen=True, eq=False)
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
                    as_half=self.inputs.as_half,
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
    if precision not in PRECISIONS:
        raise ConfigError(f"precision = {precision!r}: accepted: {', '.join(PRECISIONS)}")
    as_half = precision == "fp16"
    inputs = Inputs(network, trace, as_half=as_half)
    scored = has_metric(network, trace)
    weights = [[store_weights(layer, d, as_half=as_half) for d in layer.directions] for layer in network.layers]
    runner = NetworkRunner(network, inputs, policy, thresholds_per_gate(network, threshold), weights)
    collected = _Collected(network, inputs.lengths, policy.uses_memo_unit, keep_outputs)
    threads = threads or os.cpu_count() or 1
    with ThreadPoolExecutor(threads) as pool:
        for done in pool.map(runner.run, batches(inputs.lengths, pieces=threads)):
            collected.add(done)
            if tick is not None:
                tick(done.batch.sequences.size)
    return collected.result(trace.targets if scored else None)


class _Collected:
    """The results of batches, put back in the order of the trace."""

    def __init__(self, network: Network, lengths: I64, reuses: bool, keep_outputs: bool) -> None:
        self.network, self.reuses = network, reuses
        self.activity = (ActivityRecord.empty if reuses else ActivityRecord.without_reuse)(
            lengths, pass_shapes(network)
        )
        self.outputs = [np.empty((0, 0), np.float32)] * lengths.size if keep_outputs else None
        self.predictions = [0] * lengths.size if network.head else None

    def add(self, done: BatchResult) -> None:
        """Take in a batch."""
        for position, sequence in enumerate(done.batch.sequences.tolist()):
            if self.outputs is not None:
                self.outputs[sequence] = np.ascontiguousarray(done.top[position])
            if self.predictions is not None and self.network.head is not None:
                self.predictions[sequence] = predict(self.network.head, done.top[position])
            if self.reuses:
                first, last = self.activity.offsets[sequence], self.activity.offsets[sequence + 1]
                for place, decisions in done.decisions.items():
                    self.activity.bits[place][first:last] = decisions[done.batch.rows_of(position)]

    def result(self, targets: Sequence[int] | None) -> FunctionalResult:
        """Everything, scored against targets if there are any."""
        metric = None
        if self.predictions is not None and targets is not None:
            metric = accuracy(self.predictions, targets)
        return FunctionalResult(self.activity, self.outputs, self.predictions, metric)


def pass_shapes(network: Network) -> tuple[PassShape, ...]:
    """The passes over a sequence in machine order: layer by layer, one direction after the other."""
    return tuple(
        PassShape(index, d, layer.cell.n_gates, layer.hidden_size, layer.joint_size)
        for index, layer in enumerate(network.layers)
        for d in range(len(layer.directions))
    )
