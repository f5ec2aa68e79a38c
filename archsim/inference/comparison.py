"""A policy's run beside the run without reuse, and the change of outputs between them (SEMANTICS 1.5).

Both take the same window of steps before either goes on, so that the outputs of neither have to be kept.
"""

from __future__ import annotations

import math
from concurrent.futures import Executor
from dataclasses import dataclass, replace

import numpy as np

from archsim.inference.batch_runner import NOTHING, BatchResult, BatchRun, NetworkRunner
from archsim.inference.batching import Batch
from archsim.inference.policy_parameters import zero_thresholds
from archsim.inference.workload import Workload
from archsim.kernels.arrays import F32, F64
from archsim.kernels.numerics.squares import add_squares
from archsim.policies import NoReuse

EMPTY: F32 = np.empty((0, 0), np.float32)


@dataclass(frozen=True, eq=False)
class ComparedBatch:
    """Results of one batch under a policy and without reuse."""

    reused: BatchResult
    plain: BatchResult
    squares: F64
    """Sums of (h' - h)² and of h² per sequence, (B, 2); NaN for a sequence whose two runs differ in length."""


@dataclass(frozen=True, eq=False)
class CachedRun:
    """A run without reuse through one window, cached for the next policy; it has the methods of `BatchRun`."""

    top_outputs: F32
    """Step-major outputs of the top layer; empty where they are compared only after decoding."""
    result: BatchResult

    def advance(self, window: Batch) -> F32:
        """Return the outputs of the only window."""
        return self.top_outputs

    def finish(self) -> BatchResult:
        """Return the result of the run."""
        return self.result


class ComparedRunner:
    """Runner of batches under the policy of `runner` and without reuse."""

    def __init__(self, workload: Workload, runner: NetworkRunner) -> None:
        self.workload = workload
        self.runner = runner
        self.plain = NetworkRunner(workload, NoReuse(), zero_thresholds(workload.network), NOTHING)

    def run(self, batch: Batch, pool: Executor | None) -> ComparedBatch:
        """Run a batch both ways through all layers, window by window; return both results."""
        key = batch.sequences.tobytes()
        cached = self.workload.plain_runs.find(key)
        plain: BatchRun | CachedRun = cached or self.plain.begin(batch, pool)
        reusing, squares, windows = self.runner.begin(batch, pool), np.zeros((batch.sequences.size, 2)), 0
        for window in self.runner.windows(batch):
            before, after = plain.advance(window), reusing.advance(window)
            if not self.workload.network.decoder:
                add_squares(before, after, window.active, squares)
            windows += 1
        done = ComparedBatch(reusing.finish(), plain.finish(), squares)
        if self.workload.network.decoder:
            _compare_decoded(done)
        if cached is None and windows == 1:
            self._keep(key, before, done.plain)
        return done

    def _keep(self, key: bytes, top_outputs: F32, result: BatchResult) -> None:
        if self.workload.network.decoder:
            n_bytes = sum(values.nbytes for values in result.top_outputs or ())
            self.workload.plain_runs.keep(key, CachedRun(EMPTY, result), n_bytes)
        else:
            cached = CachedRun(top_outputs, replace(result, top_outputs=None))
            self.workload.plain_runs.keep(key, cached, top_outputs.nbytes)


def _compare_decoded(done: ComparedBatch) -> None:
    """Fill in the squares of decoded sequences, from the outputs of the top decoder layer."""
    plain, reused = done.plain.top_outputs, done.reused.top_outputs
    assert plain is not None and reused is not None, "a decoder's outputs are always there"
    for row, (before, after) in enumerate(zip(plain, reused, strict=True)):
        if before.shape == after.shape:
            add_squares(before, after, np.ones(len(before), np.int64), done.squares[row : row + 1])
        else:
            done.squares[row] = np.nan


def output_change(squares: F64) -> float | None:
    """Return sqrt(Σ (h' - h)² / Σ h²) over all sequences, 0.0 where no output moves.

    Returns None if the two runs of a sequence differ in length, or if only the outputs with reuse are not all 0.
    """
    change, square = (math.fsum(column) for column in squares.T.tolist())
    if math.isnan(change):
        return None
    if square == 0:
        return 0.0 if change == 0 else None
    return math.sqrt(change / square)
