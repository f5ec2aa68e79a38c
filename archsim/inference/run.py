"""An inference run: a whole trace through a network under one policy. Gives outputs, predictions and activity."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from archsim.activity import ActivityRecord, PassKey, pass_shapes
from archsim.cores import cores, map_in_order, thread_pool
from archsim.inference.batch_runner import NOTHING, OUTPUTS, BatchResult, Keep, NetworkRunner
from archsim.inference.batching import Batch, batches
from archsim.inference.comparison import ComparedRunner, output_change
from archsim.inference.head import Prediction
from archsim.inference.policy_parameters import Threshold, thresholds_for
from archsim.inference.workload import Workload
from archsim.ir.layers import State, zero_state
from archsim.ir.network import Network
from archsim.kernels.arrays import F32, F64, I64, U8
from archsim.policies import NoReuse, Policy, kind_of, saves_work
from archsim.task_metrics.metrics import Metric
from archsim.traceio.trace import Trace
from archsim.units import ceil_div

T = TypeVar("T")
ProgressCallback = Callable[[int], None]
"""Callback that takes the number of sequences just finished."""


@dataclass(frozen=True, eq=False)
class InferenceResult:
    """Activity, outputs and task metric of one inference run."""

    activity: ActivityRecord
    outputs: list[F32] | None
    """Top-layer outputs, (T, D·H) per sequence; None where not asked for."""
    predictions: list[Prediction] | None
    """A class, a transcript or a translation per sequence; None for a network without a head."""
    metric: Metric | None
    """The task metric; None where network or trace have no task."""
    statistics: I64 | None
    """Counts that the metric is computed from, (sequences, counts)."""
    layer_outputs: list[list[F32]] | None = None
    """Outputs (T, D·H) per layer and sequence; None where not asked for."""
    ends: dict[PassKey, State] = field(default_factory=dict)
    """States after the last step, (sequences, H), by encoder layer and direction; empty where not asked for."""
    squares: F64 | None = None
    """Sums of (h' - h)² and of h² per sequence, (sequences, 2); None where not compared."""
    without_reuse: InferenceResult | None = None
    """Result of the same sequences with nothing reused; None where not compared, or where nothing is ever reused."""
    output_change: float | None = None
    """Change of the top layer's outputs (SEMANTICS 1.5); None where not compared, or where lengths differ."""

    @property
    def metric_value(self) -> float | None:
        """The task metric against the trace's targets."""
        return None if self.metric is None or self.statistics is None else self.metric.of(self.statistics)


def run_inference(
    network: Network,
    trace: Trace,
    policy: Policy,
    threshold: Threshold = 0.0,
    *,
    precision: str = "fp16",
    keep_outputs: bool = True,
    threads: int | None = None,
) -> InferenceResult:
    """Run every sequence of `trace` through `network` once. Raises as `run_workload` and `Workload` do."""
    workload = Workload(network, trace, precision=precision)
    return run_workload(workload, policy, threshold, keep=Keep(keep_outputs), threads=threads)


def run_workload(
    workload: Workload,
    policy: Policy,
    threshold: Threshold = 0.0,
    *,
    keep: Keep = OUTPUTS,
    threads: int | None = None,
) -> InferenceResult:
    """Run every sequence of a workload through its recurrent layers (SEMANTICS 1).

    Memory grows with one bit per neuron evaluation, and with the outputs if they are kept. Results do not depend on
    `threads` (default: one per core). Raises ConfigError for a θ that does not fit the network.
    """
    thresholds = thresholds_for(workload.network, policy, threshold)
    return _run_plain(workload, policy, thresholds, keep, threads, on_progress=None)


def run_compared(
    workload: Workload,
    policy: Policy,
    thresholds: list[F32],
    *,
    keep: Keep = OUTPUTS,
    threads: int | None = None,
    on_progress: ProgressCallback | None = None,
) -> InferenceResult:
    """Run a workload under a policy and without reuse, window by window, to measure the change of the outputs.

    thresholds: θ per gate, (G,) for each layer, as `thresholds_for` returns it.
    """
    if not saves_work(policy):
        result = _run_plain(workload, policy, thresholds, keep, threads, on_progress)
        return replace(result, output_change=0.0)
    runner = ComparedRunner(workload, NetworkRunner(workload, policy, thresholds, keep))
    reusing = _Collected(workload, policy, keep)
    plain = _Collected(workload, NoReuse(), NOTHING)
    squares = np.zeros((workload.inputs.lengths.size, 2))
    for done in _run_batches(workload, runner.run, threads):
        sequences = done.reused.batch.sequences
        reusing.add(done.reused)
        plain.add(done.plain)
        squares[sequences] = done.squares
        if on_progress is not None:
            on_progress(sequences.size)
    change = output_change(squares)
    return replace(reusing.result(), without_reuse=plain.result(), output_change=change, squares=squares)


def _run_plain(
    workload: Workload,
    policy: Policy,
    thresholds: list[F32],
    keep: Keep,
    threads: int | None,
    on_progress: ProgressCallback | None,
) -> InferenceResult:
    runner = NetworkRunner(workload, policy, thresholds, keep)
    collected = _Collected(workload, policy, keep)
    for done in _run_batches(workload, runner.run, threads):
        collected.add(done)
        if on_progress is not None:
            on_progress(done.batch.sequences.size)
    return collected.result()


def _run_batches(workload: Workload, run: Callable[[Batch, Executor | None], T], threads: int | None) -> Iterator[T]:
    """Cut a workload into batches and yield the result of `run` for each, in a fixed order."""
    threads = threads or cores()
    with thread_pool(threads) as pool:
        # Directions of a layer run in parallel, so fewer batches occupy all threads, and steps of larger batches
        # cost less per sequence.
        parallel_directions = min(len(layer.directions) for layer in workload.network.layers)
        parts = batches(workload.inputs.lengths, pieces=ceil_div(threads, parallel_directions))
        yield from map_in_order(pool, lambda batch: run(batch, pool), parts)


class _Collected:
    """Results of batches, put back into the order of the trace."""

    def __init__(self, workload: Workload, policy: Policy, keep: Keep) -> None:
        n_sequences = workload.inputs.lengths.size
        self.workload = workload
        self.kind = kind_of(policy).decides
        self.shapes = pass_shapes(workload.network)
        self.reuses = saves_work(policy)
        nothing = np.empty((0, 0), np.uint8)
        self.decisions: dict[PassKey, list[U8]] = {s.pass_key: [nothing] * n_sequences for s in self.shapes}
        no_outputs: list[F32] = [np.empty((0, 0), np.float32)] * n_sequences
        self.outputs = list(no_outputs) if keep.outputs else None
        self.layer_outputs = [list(no_outputs) for _ in workload.network.layers] if keep.layers else None
        self.ends: dict[PassKey, State] = {}
        if keep.ends:
            sizes = {s.pass_key: (s.n_hidden, s.n_units) for s in self.shapes if not s.decodes}
            self.ends = {key: zero_state(n_sequences, *size) for key, size in sizes.items()}
        self.predictions: list[Prediction] = [""] * n_sequences
        self.predicts = False

    def add(self, done: BatchResult) -> None:
        """Add the results of a batch."""
        for row, sequence in enumerate(done.batch.sequences.tolist()):
            if self.outputs is not None and done.top_outputs is not None:
                self.outputs[sequence] = done.top_outputs[row]
            for kept, outputs in zip(self.layer_outputs or (), done.layer_outputs or (), strict=True):
                kept[sequence] = outputs[row]
            if done.predictions is not None:
                self.predictions[sequence] = done.predictions[row]
                self.predicts = True
            for pass_key, decisions in done.decisions.items():
                self.decisions[pass_key][sequence] = decisions[row]
        for pass_key, end in self.ends.items():
            end.h[done.batch.sequences], end.c[done.batch.sequences] = done.ends[pass_key]

    def result(self) -> InferenceResult:
        """Return the whole result, scored against the trace's targets if there are any."""
        metric, trace = self.workload.metric, self.workload.trace
        activity = ActivityRecord(self.shapes, self.decisions, self.reuses, self.kind)
        statistics = None
        if metric is not None and trace.targets is not None:
            statistics = metric.statistics(self.predictions, trace.targets)
        return InferenceResult(
            activity=activity,
            outputs=self.outputs,
            predictions=self.predictions if self.predicts else None,
            metric=metric,
            statistics=statistics,
            layer_outputs=self.layer_outputs,
            ends=self.ends,
        )
