"""Task metrics as sums over sequences, so that a whole trace and any sample of it are scored alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from archsim.kernels.arrays import I64
from archsim.sums import mean


@dataclass(frozen=True)
class Metric:
    """A corpus metric: a few counts per sequence, and a value made of their sums."""

    name: str
    target_type: type[int] | type[str]
    better: int
    """1 where a higher value is better, -1 where a lower one is."""
    counts: Callable[[int | str, int | str], Sequence[int]]
    """Counts of one answer against its target."""
    value: Callable[[Sequence[int]], float]
    """The metric, in percent or points, from summed counts."""

    def statistics(self, answers: Sequence[int | str], targets: Sequence[int | str]) -> I64:
        """Return the counts of each sequence, (sequences, counts) int64."""
        return np.array([self.counts(a, t) for a, t in zip(answers, targets, strict=True)], np.int64)

    def of(self, statistics: I64) -> float:
        """The metric over all sequences."""
        return self.value(statistics.sum(axis=0).tolist())

    def loss(self, before: float, after: float) -> float:
        """How much worse `after` is, in points, without the noise of the subtraction (SEMANTICS 1.5)."""
        return round(self.better * (before - after), 9) + 0.0


def _accuracy_counts(answer: int | str, target: int | str) -> Sequence[int]:
    return int(answer == target), 1


def _wer_counts(answer: int | str, target: int | str) -> Sequence[int]:
    from jiwer import process_words

    alignment = process_words(str(target), str(answer))
    errors = alignment.substitutions + alignment.deletions + alignment.insertions
    return errors, alignment.hits + alignment.substitutions + alignment.deletions


def _share(sums: Sequence[int]) -> float:
    return 100.0 * sums[0] / sums[1]


def _bleu_counts(answer: int | str, target: int | str) -> Sequence[int]:
    from sacrebleu.metrics.bleu import BLEU

    score = BLEU(tokenize="none", effective_order=True).sentence_score(str(answer), [str(target)])
    return *score.counts, *score.totals, score.sys_len, score.ref_len


def _bleu(sums: Sequence[int]) -> float:
    from sacrebleu.metrics.bleu import BLEU

    correct, total, (answer_len, target_len) = list(sums[:4]), list(sums[4:8]), sums[8:]
    found = BLEU.compute_bleu(correct, total, answer_len, target_len, smooth_method="exp")
    # Its score adds up the logarithms with `sum`, which rounds otherwise from Python 3.12 on.
    if not all(found.precisions):
        return 0.0
    return float(found.bp * math.exp(mean(map(math.log, found.precisions))))


METRICS = {
    metric.name: metric
    for metric in (
        Metric("accuracy", int, 1, _accuracy_counts, _share),
        # Morris et al., Interspeech 2004; the alignment is jiwer's.
        Metric("wer", str, -1, _wer_counts, _share),
        # Papineni et al., ACL 2002; on texts that are tokenised already, hence without sacrebleu's tokeniser.
        Metric("bleu", str, 1, _bleu_counts, _bleu),
    )
}
