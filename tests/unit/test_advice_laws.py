"""Laws of an advice's sequences and costs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archsim.advising.models import _sequences
from archsim.advising.subjects import MAX_MACS, MIN_SEQUENCES, affordable, halves_of
from archsim.advising.trials import Cost, change_cost, score_cost


@given(st.integers(1, 40))
def test_halves_share_no_sequence_and_take_all(n):
    halves = halves_of(n)
    assert set(halves.choosing) | set(halves.judging) == set(range(n))
    assert halves.apart == (n > 1) and (n == 1 or not set(halves.choosing) & set(halves.judging))
    assert abs(len(halves.choosing) - len(halves.judging)) <= 1


def test_classes_that_alternate_are_in_both_halves_evenly():
    """The 2,500 validation reviews alternate between negative and positive."""
    for half in halves_of(2500):
        assert 0.45 < np.mean([sequence % 2 for sequence in half]) < 0.55


@given(st.lists(st.integers(1, MAX_MACS), min_size=1, max_size=30), st.none() | st.integers(1, 40))
def test_sequences_taken_are_the_limit_or_as_many_as_the_budget_allows(macs, limit):
    taken = affordable(macs, limit)
    if limit is not None:
        assert taken == min(limit, len(macs))
    else:
        assert taken == len(macs) or (taken >= MIN_SEQUENCES and sum(macs[: taken + 1]) > MAX_MACS)
        assert taken <= MIN_SEQUENCES or sum(macs[:taken]) <= MAX_MACS


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(1, 10)), min_size=2, max_size=12))
def test_interval_of_a_mean_holds_the_mean_of_equal_rows(pairs):
    cost = score_cost([a for a, _ in pairs], [b for _, b in pairs])
    assert cost.value == pytest.approx(np.mean([a - b for a, b in pairs]))
    least, most = (f(a - b for a, b in pairs) for f in (min, max))
    assert least - 1e-5 <= cost.interval.low <= cost.interval.high <= most + 1e-5


def test_cost_that_does_not_apply_has_no_interval():
    assert Cost(np.full((3, 2), np.nan), lambda sums: float(sums[0])).interval is None
    assert change_cost([]).value == 0.0


def test_calls_that_carry_a_state_on_are_one_sequence():
    feeds = [{"x": 1, "h": 0}, {"x": 2}, {"x": 3}, {"x": 4, "h": 0}]
    assert [len(sequence) for sequence in _sequences(feeds, {"h"})] == [3, 1]
    assert [len(sequence) for sequence in _sequences(feeds, set())] == [1, 1, 1, 1]
