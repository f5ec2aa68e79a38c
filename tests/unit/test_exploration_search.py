"""Search of an exploration: the thresholds it tries, and the Pareto front of its points."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archsim.errors import ConfigError
from archsim.exploration.points import energy_delay_area, pareto_front
from archsim.exploration.threshold_search import MAX_BISECTIONS, LogGrid

# The search


def climbed(grid, fits):
    """Return the indices tried, in order, and the highest that fits below all that do not."""
    tried = {}
    while (index := grid.next_index(tried)) is not None:
        assert index not in tried and len(tried) < grid.max_tries
        tried[index] = fits(index)
    bad = min((index for index, fit in tried.items() if not fit), default=10**6)
    return tried, max((index for index, fit in tried.items() if fit and index < bad), default=None)


grids = st.builds(
    LogGrid,
    doublings=st.integers(0, 8),
    halvings=st.integers(0, 5),
    bisections=st.integers(0, MAX_BISECTIONS),
)


@given(grids, st.integers(-300, 300))
def test_search_finds_the_highest_threshold_of_a_rising_loss(grid, last):
    """If the loss only rises, this is the highest index on the grid that fits, if there is one."""
    indices = range(-grid.halvings * grid.stride, grid.doublings * grid.stride + 1)
    assert climbed(grid, lambda index: index <= last)[1] == max((r for r in indices if r <= last), default=None)


@given(grids, st.randoms(use_true_random=False))
def test_search_of_an_arbitrary_loss_ends_within_its_limit(grid, random):
    tried, best = climbed(grid, lambda index: random.random() < 0.7)
    assert len(tried) <= grid.max_tries
    assert best is None or all(fits for index, fits in tried.items() if index <= best)


@pytest.mark.parametrize("bisections", range(MAX_BISECTIONS + 1))
def test_every_index_of_the_grid_has_a_distinct_threshold(bisections):
    grid = LogGrid(bisections=bisections)
    indices = range(-grid.halvings * grid.stride, grid.doublings * grid.stride + 1)
    thetas = [grid.theta(index) for index in indices]
    assert thetas == sorted(set(thetas)) and thetas[-1] == 8 and grid.theta(0) == 0.0625


def test_threshold_of_each_input_is_searched_further_down_where_the_plain_grid_has_failed():
    plain, fine = (LogGrid(bisections=2).for_policy(policy) for policy in ("delta", "delta:weighted=on"))
    assert (plain.ends, fine.ends) == ((0.00391, 8), (0.000122, 8))
    assert climbed(fine, lambda index: fine.theta(index) <= 0.0008)[1] == -26 and fine.theta(-26) == 0.000691
    for last in range(-16, 29):
        assert climbed(plain, lambda index, last=last: index <= last) == climbed(fine, lambda i, last=last: i <= last)
    assert len(climbed(plain, lambda index: False)[0]) == 5 and len(climbed(fine, lambda index: False)[0]) == 10


def test_grid_with_too_many_bisections_is_refused():
    with pytest.raises(ConfigError, match="refine = 6: need 0 to 5 bisections"):
        LogGrid(bisections=6)


# The front

# Few different values, so that there are ties.
tables = st.lists(st.tuples(*[st.integers(1, 4)] * 3), min_size=1, max_size=25).map(
    lambda rows: pd.DataFrame(rows, columns=["energy_saving", "speedup", "area_mm2"]) / [5, 1, 1]
)


def dominates(one, other):
    """Return True if a point is no worse than another in all figures and better in one."""
    gains = [(one[key] - other[key]) * sign for key, sign in (("energy_saving", 1), ("speedup", 1), ("area_mm2", -1))]
    return min(gains) >= 0 and max(gains) > 0


@given(tables)
def test_front_is_the_set_of_undominated_points(points):
    rows, on_front = points.to_dict("records"), pareto_front(points)
    front = [row for row, on in zip(rows, on_front, strict=True) if on]
    assert front and not any(dominates(a, b) for a in front for b in front)
    for row, on in zip(rows, on_front, strict=True):
        assert on or any(dominates(one, row) for one in front)


@given(tables, st.randoms(use_true_random=False))
def test_front_does_not_depend_on_the_order_of_points(points, random):
    order = random.sample(range(len(points)), len(points))
    assert (pareto_front(points.iloc[order]) == pareto_front(points)[order]).all()


@given(tables)
def test_point_of_least_energy_delay_area_is_on_the_front(points):
    product = energy_delay_area(points, area_mm2=2.0)
    assert pareto_front(points)[product.to_numpy().argmin()]
