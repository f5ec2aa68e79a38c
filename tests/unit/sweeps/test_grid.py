"""Grids: the points a file stands for, in which order, and conditions that leave points out."""

import math
import tomllib

import pytest
import tomlkit
from harness_sweeps import points, values_of
from hypothesis import given
from hypothesis import strategies as st

from archsim.errors import ConfigError
from archsim.sweeps.grid import load_grid
from archsim.sweeps.text import toml_text


def test_points_are_all_combinations_with_the_last_axis_fastest():
    result = points(axes={"policy": ["bnn", "oracle"], "threshold": [0.1, 0.2], "arch.fmu.latency_cycles": [3, 5]})
    chosen = [(p["policy"], p["threshold"], p["arch.fmu.latency_cycles"]) for p in result]
    assert chosen == [
        *(("bnn", 0.1, 3), ("bnn", 0.1, 5), ("bnn", 0.2, 3), ("bnn", 0.2, 5)),
        *(("oracle", 0.1, 3), ("oracle", 0.1, 5), ("oracle", 0.2, 3), ("oracle", 0.2, 5)),
    ]


def test_fixed_choices_are_in_every_point():
    result = points(axes={"seed": [0, 1]}, fixed={"network": "imdb-lstm", "limit": 3})
    assert result == [{"network": "imdb-lstm", "limit": 3, "seed": seed} for seed in (0, 1)]


def test_grid_without_axes_is_one_point():
    assert points(fixed={"network": "imdb-lstm"}) == [{"network": "imdb-lstm"}]


def test_threshold_value_may_be_a_list_per_layer():
    assert values_of("threshold", [0.1, [0.1, 0.2], [[0.1], [0.2]]]) == [0.1, [0.1, 0.2], [[0.1], [0.2]]]


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_number_of_points_is_the_product_of_the_axes(sizes):
    keys = ("threshold", "seed", "limit", "arch.fmu.latency_cycles")
    result = points(axes={key: list(range(size)) for key, size in zip(keys, sizes, strict=False)})
    assert len(result) == math.prod(sizes)
    assert result == sorted(result, key=lambda point: [point[key] for key in keys[: len(sizes)]])


def test_zipped_axes_advance_together_inside_the_plain_axes():
    result = points(
        axes={"policy": ["bnn", "oracle"]},
        zip=[{"threshold": [0.1, 0.2], "seed": [1, 2]}, {"limit": [5, 6]}],
    )
    chosen = [(p["policy"], p["threshold"], p["seed"], p["limit"]) for p in result]
    assert chosen == [(p, t, s, l) for p in ("bnn", "oracle") for t, s in ((0.1, 1), (0.2, 2)) for l in (5, 6)]


def test_zipped_axes_may_repeat_a_value_but_not_a_row():
    result = points(zip=[{"seed": [1, 1, 2], "limit": [7, 8, 7]}])
    assert result == [{"seed": 1, "limit": 7}, {"seed": 1, "limit": 8}, {"seed": 2, "limit": 7}]


def test_range_may_be_zipped():
    result = points(zip=[{"seed": {"from": 1, "to": 3, "step": 1}, "limit": [7, 8, 9]}])
    assert result == [{"seed": 1, "limit": 7}, {"seed": 2, "limit": 8}, {"seed": 3, "limit": 9}]


def test_preset_adds_its_choices_and_overrides_fixed_ones():
    result = points(
        axes={"preset": ["small", "large"]},
        fixed={"limit": 5, "policy": "bnn"},
        preset={"small": {"arch.dpu.lanes": 8}, "large": {"arch.dpu.lanes": 32, "limit": 9}},
    )
    assert result == [
        {"limit": 5, "policy": "bnn", "preset": "small", "arch.dpu.lanes": 8},
        {"limit": 9, "policy": "bnn", "preset": "large", "arch.dpu.lanes": 32},
    ]


AXES = {"policy": ["bnn", "oracle", "none"], "seed": {"from": 0, "to": 4, "step": 1}}


def kept(**conditions):
    return {(p["policy"], p["seed"]) for p in points(axes=AXES, **conditions)}


ALL = {(policy, seed) for policy in ("bnn", "oracle", "none") for seed in range(5)}


@pytest.mark.parametrize("condition, meets", [
    ({"policy": "bnn"}, lambda policy, seed: policy == "bnn"),
    ({"policy": ["bnn", "none"]}, lambda policy, seed: policy != "oracle"),
    ({"seed": {"least": 2}}, lambda policy, seed: seed >= 2),
    ({"seed": {"most": 1.5}}, lambda policy, seed: seed <= 1.5),
    ({"seed": {"least": 1, "most": 3}}, lambda policy, seed: 1 <= seed <= 3),
    ({"seed": [0, 4], "policy": "none"}, lambda policy, seed: seed in (0, 4) and policy == "none"),
    ({"seed": 2}, lambda policy, seed: seed == 2),
])  # fmt: skip
def test_only_keeps_the_points_that_skip_drops(condition, meets):
    expected = {point for point in ALL if meets(*point)}
    assert kept(only=[condition]) == expected
    assert kept(skip=[condition]) == ALL - expected


def test_one_matching_condition_suffices_and_skip_follows_only():
    result = kept(only=[{"policy": "bnn"}, {"seed": 0}], skip=[{"policy": "none"}])
    assert result == {("bnn", seed) for seed in range(5)} | {("oracle", 0)}


def test_condition_on_an_unset_key_is_refused():
    with pytest.raises(ConfigError, match=r"\[\[skip\]\] asks for 'limit', which the grid does not set"):
        points(axes=AXES, skip=[{"limit": 3}])


def test_condition_fails_for_a_point_without_its_key():
    presets = {"a": {"limit": 1}, "b": {}}
    assert points(axes={"preset": ["a", "b"]}, preset=presets, skip=[{"limit": 1}]) == [{"preset": "b"}]


def test_condition_may_test_a_key_set_by_a_preset():
    presets = {"a": {"limit": 1}, "b": {"limit": 2}}
    assert points(axes={"preset": ["a", "b"]}, preset=presets, only=[{"limit": 2}]) == [{"preset": "b", "limit": 2}]
    assert points(axes={"preset": ["a", "b"]}, preset=presets, skip=[{"preset": "b"}]) == [{"preset": "a", "limit": 1}]


def test_grid_file_equals_its_tables(tmp_path):
    text = """
        [axes]
        policy = ["bnn", "none"]
        "arch.fmu.latency_cycles" = {from = 3, to = 5, step = 1}
        [[zip]]
        threshold = [0.1, [0.2, 0.3]]
        seed = [1, 2]
        [fixed]
        preset = "größer"
        [preset."größer"]
        limit = 2
        [[skip]]
        seed = {least = 2}
        policy = ["none"]
    """
    (tmp_path / "grid.toml").write_text(text, "utf-8")
    from_file, kept_text = load_grid(tmp_path / "grid.toml")
    tables = {
        "axes": {"policy": ["bnn", "none"], "arch.fmu.latency_cycles": {"from": 3, "to": 5, "step": 1}},
        "zip": [{"threshold": [0.1, [0.2, 0.3]], "seed": [1, 2]}],
        "fixed": {"preset": "größer"},
        "preset": {"größer": {"limit": 2}},
        "skip": [{"seed": {"least": 2}, "policy": ["none"]}],
    }
    from_tables, written = load_grid(tables)
    assert kept_text == text and from_file.points() == from_tables.points()
    (tmp_path / "again.toml").write_text(written, "utf-8")
    assert load_grid(tmp_path / "again.toml")[0] == from_file


def test_grid_of_100000_points_is_taken_and_one_more_refused():
    values = [i / 100_000 for i in range(100_000)]
    grid, text = load_grid({"axes": {"threshold": values}, "fixed": {"network": "imdb-lstm"}})
    assert len(grid.points()) == 100_000 and tomllib.loads(text)["axes"]["threshold"] == values
    with pytest.raises(ConfigError, match="100001 points: need at most 100000"):
        load_grid({"axes": {"threshold": [*values, 2.0]}, "fixed": {"network": "imdb-lstm"}})


@pytest.mark.parametrize("tables", [
    {"axes": {"threshold": [0.1, 1e-5, [0.1, [1]]], "policy": ['a"b', "ü\n", "\x7f"], "seed": {"from": 1, "to": 3}}},
    {"zip": [{"seed": [1, 2], "threshold": (0.5, 1)}, {"arch": ["x"]}], "only": [{"seed": [1]}, {"seed": 2}]},
    {"preset": {"p": {"arch.dpu.lanes": 8}}, "axes": {"preset": ["p"]}, "zip": [], "fixed": {"limit": 3}},
])  # fmt: skip
def test_text_of_tables_equals_tomlkit(tables):
    assert toml_text(tables) == tomlkit.dumps(tables)
