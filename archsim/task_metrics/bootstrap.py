"""Bootstrap confidence intervals over sequences (Efron 1979; for BLEU, Koehn, EMNLP 2004)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from archsim.kernels.arrays import I64
from archsim.task_metrics.metrics import Metric

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
    return _middle([metric.value(sums.tolist()) for sums in _resampled(statistics)])


def loss_interval(metric: Metric, before: I64, after: I64) -> Interval:
    """Return the interval of the loss between two runs, from their counts (sequences, counts)."""
    # Both runs are scored on the same resampled sequences, so that sequences hard for both do not widen the interval.
    both = _resampled(np.hstack([before, after]))
    width = before.shape[1]
    return _middle(
        [metric.loss(metric.value(sums[:width].tolist()), metric.value(sums[width:].tolist())) for sums in both]
    )


def _resampled(statistics: I64) -> I64:
    """Return sums of the counts over sequences drawn with replacement, (draws, counts)."""
    n, rng = len(statistics), np.random.default_rng(SEED)
    return np.array([statistics[rng.integers(0, n, n)].sum(axis=0) for _ in range(DRAWS)])


def _middle(values: list[float]) -> Interval:
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(values, [tail, 100 - tail])
    return Interval(round(float(low), 6), round(float(high), 6))
