"""A whole trace through a network under one policy: outputs, answers, activity."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from archsim.cores import cores
from archsim.errors import ConfigError
from archsim.functional.batch import batches
from archsim.functional.head import Answer, metric_for
from archsim.functional.inputs import Inputs
from archsim.functional.runner import BatchResult, NetworkRunner
from archsim.functional.thresholds import Threshold, thresholds_for
from archsim.ir.network import Network
from archsim.kernels.arrays import F32, I64, U8
from archsim.policies import Policy, goes_by_columns, saves_work
from archsim.tasks.metrics import Metric
from archsim.traceio.activity import ActivityRecord, Kind, PassShape
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
    answers: list[Answer] | None
    """A class, a transcript or a translation per sequence; None for a network without a head."""
    metric: Metric | None
    """The task metric; None where network or trace have no task."""
    statistics: I64 | None
    """Its counts per sequence, (sequences, counts)."""

    @property
    def metric_value(self) -> float | None:
        """The task metric against the trace's targets."""
        return None if self.metric is None or self.statistics is None else self.metric.of(self.statistics)


def run_functional(
    network: Network,
    trace: Trace,
    policy: Policy,
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
    inputs = Inputs(network, trace, as_half=holds_half(precision))
    metric = metric_for(network, trace)
    runner = NetworkRunner(network, inputs, policy, thresholds_for(network, policy, threshold))
    collected = _Collected(network, inputs.lengths.size, policy, keep_outputs)
    threads = threads or cores()
    with ThreadPoolExecutor(threads) as pool:
        for done in pool.map(runner.run, batches(inputs.lengths, pieces=threads)):
            collected.add(done)
            if tick is not None:
                tick(done.batch.sequences.size)
    return collected.result(metric, trace)


def holds_half(precision: str) -> bool:
    """Whether the machine stores binary16 in this precision; ConfigError for one that is not known."""
    if precision not in PRECISIONS:
        raise ConfigError(f"precision = {precision!r}: accepted: {', '.join(PRECISIONS)}")
    return precision == "fp16"


class _Collected:
    """The results of batches, put back in the order of the trace."""

    def __init__(self, network: Network, n_sequences: int, policy: Policy, keep_outputs: bool) -> None:
        self.shapes, self.reuses = pass_shapes(network), saves_work(policy)
        self.kind = kind_of(policy)
        nothing = np.empty((0, 0), np.uint8)
        self.bits: dict[tuple[int, int], list[U8]] = {s.place: [nothing] * n_sequences for s in self.shapes}
        self.outputs = [np.empty((0, 0), np.float32)] * n_sequences if keep_outputs else None
        self.answers: list[Answer] = [""] * n_sequences
        self.answered = False

    def add(self, done: BatchResult) -> None:
        """Take in a batch."""
        for row, sequence in enumerate(done.batch.sequences.tolist()):
            if self.outputs is not None:
                self.outputs[sequence] = np.ascontiguousarray(done.top[row])
            if done.answers is not None:
                self.answers[sequence], self.answered = done.answers[row], True
            for place, decisions in done.decisions.items():
                self.bits[place][sequence] = decisions[row] if self.reuses else _zeros_like(decisions[row])

    def result(self, metric: Metric | None, trace: Trace) -> FunctionalResult:
        """Everything, scored against the trace's targets if there are any."""
        activity = ActivityRecord(self.shapes, self.bits, self.reuses, self.kind)
        statistics = None
        if metric is not None and trace.targets is not None:
            statistics = metric.statistics(self.answers, trace.targets)
        return FunctionalResult(activity, self.outputs, self.answers if self.answered else None, metric, statistics)


def _zeros_like(bits: U8) -> U8:
    """Decisions that are known to be 0, in no memory to speak of."""
    return np.broadcast_to(np.uint8(0), bits.shape)


def kind_of(policy: Policy) -> Kind:
    """What the bits of a policy's record stand for."""
    return "columns" if goes_by_columns(policy) else "neurons"


def pass_shapes(network: Network) -> tuple[PassShape, ...]:
    """The passes over a sequence in machine order: layer by layer, one direction after the other."""
    first_decoder = len(network.encoder)
    return tuple(
        PassShape(index, d, layer.cell.n_gates, layer.hidden_size, layer.joint_size, decodes=index >= first_decoder)
        for index, layer in enumerate(network.layers)
        for d in range(len(layer.directions))
    )
