"""One policy at one θ on some sequences: what it costs in quality, and how to simulate it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archsim.config.arch import ArchSpec
from archsim.experiment.result import Result
from archsim.inference.comparison import output_change
from archsim.inference.run import InferenceResult
from archsim.kernels.arrays import F64, I64
from archsim.live.recording import joined_squares
from archsim.live.result import SumResult
from archsim.policies import Policy
from archsim.task_metrics.bootstrap import Interval, interval_of, loss_of_sums
from archsim.task_metrics.metrics import Metric

AnyResult = Result | SumResult
Replay = Callable[[ArchSpec], AnyResult]


@dataclass(frozen=True, eq=False)
class Cost:
    """Cost in quality, computed from sums over sequences, so that it has a bootstrap interval."""

    rows: NDArray[Any]
    """One row of sums per sequence, (sequences, columns)."""
    of: Callable[[NDArray[Any]], float]
    """Function from the sums over some sequences to the cost; NaN where it does not apply."""

    @property
    def value(self) -> float:
        """Cost on all sequences; NaN where it does not apply."""
        return self.of(self.rows.sum(axis=0))

    @cached_property
    def interval(self) -> Interval | None:
        """95 % interval over resampled sequences; None for a single sequence, or where the cost does not apply."""
        if len(self.rows) < 2 or math.isnan(self.value):
            return None
        found = interval_of(self.of, self.rows)
        return None if math.isnan(found.low) else found


def change_cost(results: list[InferenceResult]) -> Cost:
    """Return the change of the outputs as a fraction (SEMANTICS 1.5), over the sequences of all parts."""
    squares = joined_squares(results)
    if squares is None:  # nothing was reused, so nothing was compared
        return Cost(np.zeros((1, 1)), lambda sums: 0.0)
    return cost_of_change(squares)


def cost_of_change(squares: F64) -> Cost:
    """Return the change of the outputs as a fraction, from sums of (h' - h)² and of h² per sequence."""

    def change(sums: F64) -> float:
        value = output_change(sums[None])
        return math.nan if value is None else value

    return Cost(squares, change)


def metric_cost(metric: Metric, before: I64, after: I64) -> Cost:
    """Return the loss of a task metric in points, from counts (sequences, counts) without and with reuse."""
    return Cost(np.hstack([before, after]), loss_of_sums(metric, before.shape[1]))


def score_cost(before: list[float], after: list[float]) -> Cost:
    """Return by how much the mean of a user's scores falls, from one score per input without and with reuse."""
    rows = np.array([[a - b, 1.0] for a, b in zip(before, after, strict=True)])
    return Cost(rows, lambda sums: float(sums[0] / sums[1]))


@dataclass(frozen=True, eq=False)
class Trial:
    """Run of one policy at one θ on some sequences of a subject."""

    policy: Policy
    threshold: float | None
    inferences: list[InferenceResult]
    """Decisions and change of the outputs, by part of the model."""
    change: Cost
    loss: Cost | None
    """Loss in points of a metric or of the user's evaluation; None where there is none."""
    replay: Replay
    """Function from a machine to time and energy of this run."""
    _results: dict[ArchSpec, AnyResult] = field(default_factory=dict, init=False, repr=False)

    def simulate(self, arch: ArchSpec) -> AnyResult:
        """Return time and energy of this run on a machine, simulated at the first call."""
        if arch not in self._results:
            self._results[arch] = self.replay(arch)
        return self._results[arch]

    @property
    def avoided(self) -> float:
        """Share of the multiply-accumulates that the policy leaves out."""
        total = sum(result.activity.macs_total for result in self.inferences)
        return sum(result.activity.macs_avoided for result in self.inferences) / total
