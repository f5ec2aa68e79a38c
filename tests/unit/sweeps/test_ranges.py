"""Axes of a grid: the values of a range or a list, each once."""

from itertools import pairwise

import pytest
from harness_sweeps import values_of
from hypothesis import given
from hypothesis import strategies as st

from archsim.errors import ConfigError
from archsim.sweeps.axis import Range, axis_values, check_once


def same_values_and_types(result, expected):
    assert result == expected
    assert [type(value) for value in result] == [type(value) for value in expected]


@pytest.mark.parametrize("written, values", [
    ({"from": 0.1, "to": 0.5, "step": 0.1}, [0.1, 0.2, 0.3, 0.4, 0.5]),
    ({"from": 3, "to": 8, "step": 2}, [3, 5, 7]),
    ({"from": 3, "to": 7, "step": 2}, [3, 5, 7]),
    ({"from": 1, "to": 2, "step": 0.5}, [1.0, 1.5, 2.0]),
    ({"from": 0, "to": 1, "points": 3}, [0.0, 0.5, 1.0]),
    ({"from": 0.01, "to": 1, "points": 3, "scale": "log"}, [0.01, 0.1, 1.0]),
    ({"from": 0.5, "to": 0.5, "step": 1}, [0.5]),
    ({"from": -0.2, "to": 0.2, "step": 0.2, "scale": "linear"}, [-0.2, 0.0, 0.2]),
    ({"from": 0, "to": 9999, "step": 1}, list(range(10000))),
])  # fmt: skip
def test_range_expands_to_its_values(written, values):
    same_values_and_types(values_of("threshold", written), values)


@pytest.mark.parametrize("written, values", [
    ({"from": 1, "to": 5, "points": 5}, [1, 2, 3, 4, 5]),
    ({"from": 1, "to": 16, "points": 5, "scale": "log"}, [1, 2, 4, 8, 16]),
])  # fmt: skip
def test_range_of_whole_numbers_yields_ints(written, values):
    same_values_and_types(values_of("arch.fmu.latency_cycles", written), values)


numbers = st.floats(-1e6, 1e6).map(lambda x: round(x, 6))
counts = st.integers(2, 200)


@given(numbers, st.floats(1e-3, 1e6).map(lambda x: round(x, 3)), counts)
def test_linear_range_by_points_includes_both_ends(first, width, count):
    result = Range(first=first, last=first + width, points=count).values()
    assert len(result) == count
    assert result[0] == pytest.approx(first, rel=1e-11) and result[-1] == pytest.approx(first + width, rel=1e-11)
    assert result == sorted(result)


@given(st.floats(1e-6, 1e3), st.floats(1.01, 1e6), counts)
def test_log_range_includes_both_ends_and_has_a_constant_ratio(first, ratio, count):
    result = Range(first=first, last=first * ratio, points=count, scale="log").values()
    assert len(result) == count
    assert result[0] == pytest.approx(first, rel=1e-10) and result[-1] == pytest.approx(first * ratio, rel=1e-10)
    factors = [after / before for before, after in pairwise(result)]
    assert factors == pytest.approx([ratio ** (1 / (count - 1))] * (count - 1), rel=1e-9)


@given(st.integers(-1000, 1000), st.integers(0, 500), st.integers(1, 50))
def test_range_with_whole_step_equals_python_range(first, width, step):
    same_values_and_types(
        Range(first=first, last=first + width, step=step).values(), [*range(first, first + width + 1, step)]
    )


@given(st.integers(-1000, 1000), st.integers(0, 300), st.sampled_from([0.1, 0.01, 0.05, 0.3, 0.125]))
def test_range_with_decimal_step_reaches_its_end(first, steps, step):
    """Binary rounding must not lose an end that decimal arithmetic reaches."""
    last = round(first + steps * step, 6)
    result = Range(first=first, last=last, step=step).values()
    assert len(result) == steps + 1 and result[-1] == pytest.approx(last, abs=1e-9)
    assert result == [round(first + i * step, 6) for i in range(steps + 1)]


@given(numbers, st.floats(0, 1e3), st.floats(0.2, 1e3))
def test_range_by_step_never_exceeds_its_end(first, width, step):
    result = Range(first=first, last=first + width, step=step).values()
    assert result[-1] <= first + width + 1e-9 * max(1.0, step) + 1e-11 * abs(first + width)
    assert result[-1] + step > first + width - 1e-11 * abs(first + width)


@given(st.lists(st.integers(), min_size=1, max_size=20, unique=True))
def test_list_axis_keeps_its_values(values):
    assert axis_values("seed", values) == values


@pytest.mark.parametrize("written", [
    {"from": 0, "to": 1e300, "step": 1e-300},
    {"from": 10**400, "to": 10**401, "points": 3},
    {"from": 1e-300, "to": 1e300, "points": 2, "scale": "log"},
    {"from": -1e308, "to": 1e308, "points": 2},
])  # fmt: skip
def test_range_that_overflows_or_vanishes_is_refused(written):
    with pytest.raises(ConfigError):
        values_of("threshold", written)


def test_range_repeating_one_value_is_refused():
    with pytest.raises(ConfigError, match="twice"):
        values_of("threshold", {"from": 1, "to": 1, "points": 3})


@pytest.mark.parametrize("values", [
    [1, 1.0], [1, True], [0, False], [0.0, -0.0], [[1, 2], [1.0, 2]], [[[0.1]], 3, [[0.1]]], [2, 3, 2],
])  # fmt: skip
def test_axis_with_equal_values_is_refused(values):
    with pytest.raises(ConfigError, match=r"threshold has .* twice: need each value once"):
        check_once("threshold", values)


@pytest.mark.parametrize("values", [[1, [1]], [[1], [[1]]], [[1, 2], [2, 1]], ["1", 1], [[], [[]]]])
def test_axis_with_distinct_values_is_accepted(values):
    check_once("threshold", values)


class Counted(float):
    """Number that counts its comparisons."""

    compared = 0

    def __eq__(self, other):
        Counted.compared += 1
        return float(self) == other

    __hash__ = float.__hash__


def test_duplicate_check_compares_in_linear_time():
    check_once("threshold", [Counted(i) for i in range(3000)])
    assert Counted.compared < 3000
