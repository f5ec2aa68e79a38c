"""Task metrics made of sums over sequences, so that a whole trace and any sample of it are scored alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from archsim.errors import ConfigError
from archsim.kernels.arrays import I64
from archsim.registry import Registry
from archsim.sums import mean


@dataclass(frozen=True)
class Metric:
    """Corpus metric: a few counts per sequence, and a value computed from their sums."""

    name: str
    target_type: type[int] | type[str]
    better: int
    """Sign of an improvement: 1 if higher values are better, -1 if lower ones are."""
    counts: Callable[[int | str, int | str], Sequence[int]]
    """Function from a prediction and its target to the counts."""
    value: Callable[[Sequence[int]], float]
    """Function from summed counts to the metric, in percent or points."""

    def statistics(self, predictions: Sequence[int | str], targets: Sequence[int | str]) -> I64:
        """Return the counts per sequence, (sequences, counts) int64."""
        return np.array([self.counts(a, t) for a, t in zip(predictions, targets, strict=True)], np.int64)

    def of(self, statistics: I64) -> float:
        """Return the metric over all sequences."""
        return self.value(statistics.sum(axis=0).tolist())

    def loss(self, before: float, after: float) -> float:
        """Return by how many points `after` is worse than `before` (SEMANTICS 1.5)."""
        # Rounding removes the noise of the subtraction; adding 0.0 turns -0.0 into 0.0.
        return round(self.better * (before - after), 9) + 0.0


def _accuracy_counts(prediction: int | str, target: int | str) -> Sequence[int]:
    return int(prediction == target), 1


def _wer_counts(prediction: int | str, target: int | str) -> Sequence[int]:
    from jiwer import process_words

    alignment = process_words(str(target), str(prediction))
    errors = alignment.substitutions + alignment.deletions + alignment.insertions
    return errors, alignment.hits + alignment.substitutions + alignment.deletions


def _share(sums: Sequence[int]) -> float:
    return 100.0 * sums[0] / sums[1]


def _bleu_counts(prediction: int | str, target: int | str) -> Sequence[int]:
    from sacrebleu.metrics.bleu import BLEU

    score = BLEU(tokenize="none", effective_order=True).sentence_score(str(prediction), [str(target)])
    return *score.counts, *score.totals, score.sys_len, score.ref_len


def _bleu(sums: Sequence[int]) -> float:
    from sacrebleu.metrics.bleu import BLEU

    correct, total, (prediction_len, target_len) = list(sums[:4]), list(sums[4:8]), sums[8:]
    score = BLEU.compute_bleu(correct, total, prediction_len, target_len, smooth_method="exp")
    # `score.score` adds logarithms with `sum`, which rounds differently from Python 3.12 on.
    if not all(score.precisions):
        return 0.0
    return float(score.bp * math.exp(mean(map(math.log, score.precisions))))


def _checked(metric: Any, where: str) -> Metric:
    if not isinstance(metric, Metric):
        raise ConfigError(f"{where} is a {type(metric).__name__}: need an archsim.task_metrics.metrics.Metric")
    if metric.target_type not in (int, str):
        raise ConfigError(f"{where}: target_type = {metric.target_type!r}: need int, a class, or str, a text")
    if metric.better not in (1, -1):
        raise ConfigError(f"{where}: better = {metric.better!r}: need 1 where higher is better, -1 where lower is")
    return metric


METRICS: Registry[Metric] = Registry("task metric", "archsim.task_metrics", _checked)
for _metric in (
    Metric("accuracy", int, 1, _accuracy_counts, _share),
    # Morris et al., Interspeech 2004; the alignment is jiwer's.
    Metric("wer", str, -1, _wer_counts, _share),
    # Papineni et al., ACL 2002; on texts that are tokenised already, hence without sacrebleu's tokeniser.
    Metric("bleu", str, 1, _bleu_counts, _bleu),
):
    METRICS.bundle(_metric.name, _metric)


def register_metric(metric: Metric) -> Metric:
    """Make a metric known by its `name`, for `metric` in a network.toml whose head gives such predictions.

    Raises ConfigError for what is no metric, or takes a built-in name.
    """
    return METRICS.register(metric, f"register_metric: {getattr(metric, 'name', metric)!r}")
