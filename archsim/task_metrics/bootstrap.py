"""Bootstrap confidence intervals over sequences (Efron 1979; for BLEU, Koehn, EMNLP 2004)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from archsim.kernels.arrays import I64
from archsim.task_metrics.metrics import Metric

T = TypeVar("T", bound=np.generic)

DRAWS = 1000
CONFIDENCE = 0.95
SEED = 0
"""Fixed seed, so that equal runs report equal intervals."""


class Interval(NamedTuple):
    """Interval that holds the middle 95 % of the values of resampled traces."""

    low: float
    high: float


def interval(metric: Metric, statistics: I64) -> Interval:
    """Return the interval of the metric, from counts (sequences, counts)."""
    return interval_of(lambda sums: metric.value(sums.tolist()), statistics)


def loss_interval(metric: Metric, before: I64, after: I64) -> Interval:
    """Return the interval of the loss between two runs, from their counts (sequences, counts)."""
    return interval_of(loss_of_sums(metric, before.shape[1]), np.hstack([before, after]))


def loss_of_sums(metric: Metric, width: int) -> Callable[[I64], float]:
    """Return a function from the sums of `width` counts before, then after, to the loss of the metric.

    Both runs are scored on the same resampled sequences, so that sequences hard for both do not widen the interval.
    """
    return lambda sums: metric.loss(metric.value(sums[:width].tolist()), metric.value(sums[width:].tolist()))


def interval_of(value: Callable[[NDArray[T]], float], rows: NDArray[T]) -> Interval:
    """Return the interval of a value computed from the sums of rows (sequences, columns) over sequences."""
    low, high = interval_ends(value, rows)
    return Interval(round(low, 6), round(high, 6))


def interval_ends(value: Callable[[NDArray[T]], float], rows: NDArray[T]) -> list[float]:
    """Return the two ends of `interval_of`, not rounded."""
    n, rng = len(rows), np.random.default_rng(SEED)
    values = [value(rows[rng.integers(0, n, n)].sum(axis=0)) for _ in range(DRAWS)]
    tail = 50 * (1 - CONFIDENCE)
    return [float(end) for end in np.percentile(values, [tail, 100 - tail])]
