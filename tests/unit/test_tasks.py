"""Task metrics and their intervals, with jiwer's and sacrebleu's own corpus scores as oracles."""

import jiwer
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics.bleu import BLEU

from archsim.task_metrics.bootstrap import interval, loss_interval
from archsim.task_metrics.metrics import METRICS

SENTENCES = st.lists(st.lists(st.sampled_from("a b c d e".split()), min_size=1, max_size=9).map(" ".join), min_size=1)


@given(st.data())
def test_wer_and_bleu_from_summed_counts_equal_the_oracles(data):
    """WER over all words and BLEU over all n-grams, not means over sentences."""
    targets = data.draw(SENTENCES)
    answers = [data.draw(st.sampled_from([t, t + " e", "b", ""])) for t in targets]
    wer, bleu = METRICS.get("wer"), METRICS.get("bleu")
    assert wer.of(wer.statistics(answers, targets)) == pytest.approx(100 * jiwer.wer(targets, answers))
    expected = BLEU(tokenize="none", force=True).corpus_score(answers, [targets]).score
    assert bleu.of(bleu.statistics(answers, targets)) == pytest.approx(expected)


def test_loss_is_a_fall_of_accuracy_or_a_rise_of_word_errors():
    assert METRICS.get("accuracy").loss(90.0, 88.5) == 1.5 and METRICS.get("bleu").loss(30.0, 31.0) == -1.0
    assert METRICS.get("wer").loss(2.0, 2.7) == 0.7


def test_interval_of_an_accuracy_is_the_binomial_one():
    """600 of 1000 right: plus or minus 1.96 standard errors of 1.55 points, to the noise of 1000 draws."""
    accuracy = METRICS.get("accuracy")
    statistics = accuracy.statistics([1] * 600 + [0] * 400, [1] * 1000)
    low, high = interval(accuracy, statistics)
    assert (low, high) == pytest.approx((57.0, 63.0), abs=0.5)
    assert interval(accuracy, statistics) == (low, high)


def test_interval_of_a_loss_is_paired():
    """Equal answers lose nothing, however hard the questions; ten worse of 1000 lose about 1 point."""
    accuracy = METRICS.get("accuracy")
    right = np.arange(1000) % 2
    before = accuracy.statistics(right.tolist(), [1] * 1000)
    assert loss_interval(accuracy, before, before) == (0.0, 0.0)
    worse = before.copy()
    worse[1:20:2, 0] = 0
    low, high = loss_interval(accuracy, before, worse)
    assert 0.2 < low < 1.0 < high < 1.8
