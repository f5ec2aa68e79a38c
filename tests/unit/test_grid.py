"""Grids: the points a file stands for, in which order, and what is wrong with a file that stands for none."""

import datetime
import math
import tomllib
from itertools import pairwise

import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from archsim.errors import ConfigError
from archsim.sweeps.axis import Range, axis_values, check_once
from archsim.sweeps.grid import load_grid
from archsim.sweeps.text import toml_text


def points(**tables):
    return load_grid(tables)[0].points()


def one(key, values):
    """The values one axis takes."""
    return [point[key] for point in points(axes={key: values})]


def same_values_and_types(found, expected):
    assert found == expected
    assert [type(value) for value in found] == [type(value) for value in expected]


def test_every_combination_and_the_last_axis_changes_fastest():
    found = points(axes={"policy": ["bnn", "oracle"], "threshold": [0.1, 0.2], "arch.fmu.latency_cycles": [3, 5]})
    chosen = [(p["policy"], p["threshold"], p["arch.fmu.latency_cycles"]) for p in found]
    assert chosen == [
        *(("bnn", 0.1, 3), ("bnn", 0.1, 5), ("bnn", 0.2, 3), ("bnn", 0.2, 5)),
        *(("oracle", 0.1, 3), ("oracle", 0.1, 5), ("oracle", 0.2, 3), ("oracle", 0.2, 5)),
    ]


def test_fixed_choices_are_in_every_point():
    found = points(axes={"seed": [0, 1]}, fixed={"network": "imdb-lstm", "limit": 3})
    assert found == [{"network": "imdb-lstm", "limit": 3, "seed": seed} for seed in (0, 1)]


def test_without_axes_it_is_one_point():
    assert points(fixed={"network": "imdb-lstm"}) == [{"network": "imdb-lstm"}]


def test_a_threshold_may_be_a_list_per_layer():
    assert one("threshold", [0.1, [0.1, 0.2], [[0.1], [0.2]]]) == [0.1, [0.1, 0.2], [[0.1], [0.2]]]


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
def test_a_range_is_its_values(written, values):
    same_values_and_types(one("threshold", written), values)


@pytest.mark.parametrize("written, values", [
    ({"from": 1, "to": 5, "points": 5}, [1, 2, 3, 4, 5]),
    ({"from": 1, "to": 16, "points": 5, "scale": "log"}, [1, 2, 4, 8, 16]),
])  # fmt: skip
def test_a_range_of_whole_numbers_stays_whole(written, values):
    same_values_and_types(one("arch.fmu.latency_cycles", written), values)


numbers = st.floats(-1e6, 1e6).map(lambda x: round(x, 6))
counts = st.integers(2, 200)


@given(numbers, st.floats(1e-3, 1e6).map(lambda x: round(x, 3)), counts)
def test_so_many_points_include_both_ends(first, width, count):
    found = Range(first=first, last=first + width, points=count).values()
    assert len(found) == count
    assert found[0] == pytest.approx(first, rel=1e-11) and found[-1] == pytest.approx(first + width, rel=1e-11)
    assert found == sorted(found)


@given(st.floats(1e-6, 1e3), st.floats(1.01, 1e6), counts)
def test_a_log_range_includes_both_ends_and_grows_by_one_factor(first, ratio, count):
    found = Range(first=first, last=first * ratio, points=count, scale="log").values()
    assert len(found) == count
    assert found[0] == pytest.approx(first, rel=1e-10) and found[-1] == pytest.approx(first * ratio, rel=1e-10)
    factors = [after / before for before, after in pairwise(found)]
    assert factors == pytest.approx([ratio ** (1 / (count - 1))] * (count - 1), rel=1e-9)


@given(st.integers(-1000, 1000), st.integers(0, 500), st.integers(1, 50))
def test_whole_steps_are_pythons_range(first, width, step):
    same_values_and_types(
        Range(first=first, last=first + width, step=step).values(), [*range(first, first + width + 1, step)]
    )


@given(st.integers(-1000, 1000), st.integers(0, 300), st.sampled_from([0.1, 0.01, 0.05, 0.3, 0.125]))
def test_decimal_steps_reach_the_end_they_are_meant_to_reach(first, steps, step):
    """An end that decimal arithmetic reaches is not lost to binary fractions."""
    last = round(first + steps * step, 6)
    found = Range(first=first, last=last, step=step).values()
    assert len(found) == steps + 1 and found[-1] == pytest.approx(last, abs=1e-9)
    assert found == [round(first + i * step, 6) for i in range(steps + 1)]


@given(numbers, st.floats(0, 1e3), st.floats(0.2, 1e3))
def test_no_step_goes_beyond_the_end(first, width, step):
    found = Range(first=first, last=first + width, step=step).values()
    assert found[-1] <= first + width + 1e-9 * max(1.0, step) + 1e-11 * abs(first + width)
    assert found[-1] + step > first + width - 1e-11 * abs(first + width)


@given(st.lists(st.integers(), min_size=1, max_size=20, unique=True))
def test_a_list_is_its_values(values):
    assert axis_values("seed", values) == values


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_a_grid_has_as_many_points_as_its_axes_multiply_to(sizes):
    keys = ("threshold", "seed", "limit", "arch.fmu.latency_cycles")
    found = points(axes={key: list(range(size)) for key, size in zip(keys, sizes, strict=False)})
    assert len(found) == math.prod(sizes)
    assert found == sorted(found, key=lambda point: [point[key] for key in keys[: len(sizes)]])


def test_zipped_axes_go_together_and_after_the_axes():
    found = points(
        axes={"policy": ["bnn", "oracle"]},
        zip=[{"threshold": [0.1, 0.2], "seed": [1, 2]}, {"limit": [5, 6]}],
    )
    chosen = [(p["policy"], p["threshold"], p["seed"], p["limit"]) for p in found]
    assert chosen == [(p, t, s, l) for p in ("bnn", "oracle") for t, s in ((0.1, 1), (0.2, 2)) for l in (5, 6)]


def test_zipped_axes_may_say_a_value_twice_but_no_row():
    found = points(zip=[{"seed": [1, 1, 2], "limit": [7, 8, 7]}])
    assert found == [{"seed": 1, "limit": 7}, {"seed": 1, "limit": 8}, {"seed": 2, "limit": 7}]


def test_a_range_may_be_zipped():
    found = points(zip=[{"seed": {"from": 1, "to": 3, "step": 1}, "limit": [7, 8, 9]}])
    assert found == [{"seed": 1, "limit": 7}, {"seed": 2, "limit": 8}, {"seed": 3, "limit": 9}]


def test_a_preset_brings_its_choices_and_overrides_fixed_ones():
    found = points(
        axes={"preset": ["small", "large"]},
        fixed={"limit": 5, "policy": "bnn"},
        preset={"small": {"arch.dpu.lanes": 8}, "large": {"arch.dpu.lanes": 32, "limit": 9}},
    )
    assert found == [
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
def test_only_keeps_what_skip_leaves_out(condition, meets):
    expected = {point for point in ALL if meets(*point)}
    assert kept(only=[condition]) == expected
    assert kept(skip=[condition]) == ALL - expected


def test_any_of_several_conditions_will_do_and_skip_comes_after_only():
    found = kept(only=[{"policy": "bnn"}, {"seed": 0}], skip=[{"policy": "none"}])
    assert found == {("bnn", seed) for seed in range(5)} | {("oracle", 0)}


def test_a_condition_on_what_no_point_chooses_is_refused():
    with pytest.raises(ConfigError, match=r"\[\[skip\]\] asks for 'limit', which the grid does not set"):
        points(axes=AXES, skip=[{"limit": 3}])


def test_a_condition_on_what_a_point_does_not_choose_is_not_met():
    presets = {"a": {"limit": 1}, "b": {}}
    assert points(axes={"preset": ["a", "b"]}, preset=presets, skip=[{"limit": 1}]) == [{"preset": "b"}]


def test_a_condition_may_ask_for_what_a_preset_sets():
    presets = {"a": {"limit": 1}, "b": {"limit": 2}}
    assert points(axes={"preset": ["a", "b"]}, preset=presets, only=[{"limit": 2}]) == [{"preset": "b", "limit": 2}]
    assert points(axes={"preset": ["a", "b"]}, preset=presets, skip=[{"preset": "b"}]) == [{"preset": "a", "limit": 1}]


@pytest.mark.parametrize("tables, message", [
    ({"axes": {"treshold": [1]}}, "[axes] unknown key 'treshold', did you mean 'threshold'?; known: network, trace"),
    ({"fixed": {"arch.fmu.latency_cycle": 3}}, "[fixed] unknown key 'arch.fmu.latency_cycle', did you mean 'arch.fmu.latency_cycles'"),
    ({"zip": [{"treshold": [1]}]}, "[zip] unknown key 'treshold', did you mean 'threshold'"),
    ({"axes": {"seed": [1]}, "skip": [{"sead": 1}]}, "[skip] unknown key 'sead', did you mean 'seed'"),
    ({"axes": {"seed": [1]}, "only": [{"sead": 1}]}, "[only] unknown key 'sead', did you mean 'seed'"),
    ({"preset": {"x": {"polcy": "bnn"}}}, "[preset.x] unknown key 'polcy', did you mean 'policy'"),
    ({"axis": {"seed": [1]}}, "unknown key 'axis', did you mean 'axes'?; known here: axes, zip, fixed"),
    ({"axes": {"seed": [1]}, "fixed": {"seed": 1}}, "'seed' is set in [axes] and in [fixed]: need one of them"),
    ({"axes": {"seed": [1]}, "zip": [{"seed": [1]}]}, "'seed' is set in [axes] and in [zip]"),
    ({"zip": [{"seed": [1]}, {"seed": [1]}]}, "'seed' is set in [zip] and in [zip]"),
    ({"axes": {"preset": ["x"], "seed": [1]}, "preset": {"x": {"seed": 2}}}, "[preset.x] sets 'seed', which is an axis"),
    ({"axes": {"preset": ["x"]}, "preset": {"x": {"preset": "y"}}}, "[preset.x] sets 'preset', which is an axis"),
    ({"zip": [{"threshold": [1, 2], "seed": [1]}]}, "[[zip]] needs lists of one length: threshold has 2, seed has 1"),
    ({"zip": [{}]}, "[[zip]] needs lists of one length: nothing in it"),
    ({"axes": {"seed": []}}, "seed = []: need a list of at least one value, or a range {from, to, step}"),
    ({"axes": {"seed": 3}}, "seed = 3: need a list of at least one value"),
    ({"axes": {"network": "imdb-lstm"}}, "network = 'imdb-lstm': need a list"),
    ({"axes": {"seed": [1, 2, 1]}}, "seed has 1 twice: need each value once"),
    ({"zip": [{"seed": [1, 2, 1], "threshold": [3, 4, 3]}]}, "twice: need each value once"),
    ({"axes": {"preset": ["smal"]}, "preset": {"small": {}}}, "preset = 'smal', did you mean 'small'?; known: small"),
    ({"fixed": {"preset": "x"}}, "preset = 'x'; known: none, write a table [preset.NAME]"),
    ({"skip": {"seed": 1}}, "skip is a dict: need a list of tables, each written [[skip]]"),
    ({"axes": {"seed": [1, 2]}, "only": [{"seed": 3}]}, "no point is left of 2: loosen [[only]] or [[skip]]"),
    ({"axes": {"seed": [1, 2]}, "skip": [{"seed": [1, 2]}]}, "no point is left of 2"),
    ({"axes": {"seed": {"from": 1, "to": 3}}}, "seed: a range needs `step` or `points`, one of them"),
    ({"axes": {"seed": {"from": 1, "to": 3, "step": 1, "points": 3}}}, "seed: a range needs `step` or `points`"),
    ({"axes": {"seed": {"from": 3, "to": 1, "step": 1}}}, "seed: from = 3 is above to = 1: need it below"),
    ({"axes": {"seed": {"from": 0, "to": 3, "points": 3, "scale": "log"}}}, "scale = 'log' needs `points`, and from > 0"),
    ({"axes": {"seed": {"from": 1, "to": 3, "step": 1, "scale": "log"}}}, "scale = 'log' needs `points`, and from > 0"),
    ({"axes": {"seed": {"from": 0, "to": 10000, "step": 1}}}, "seed: a range of 1e+04 steps: need at most 10000 values"),
    ({"axes": {"seed": {"from": 1, "to": 3, "stepp": 1}}}, "unknown key 'stepp', did you mean 'step'"),
    ({"axes": {"seed": {"from": 1, "step": 1}}}, "key 'to' is missing; a range is {from, to, step}"),
    ({"axes": {"seed": {"from": "1", "to": 3, "step": 1}}}, "seed: from"),
    ({"axes": {"seed": {"from": 1, "to": 3, "step": 0}}}, "seed: step = 0: input should be greater than 0"),
    ({"axes": {"seed": {"from": 1, "to": 3, "points": 1}}}, "seed: points = 1: input should be greater than or equal to 2"),
    ({"axes": {"seed": {"from": 1, "to": math.inf, "step": 1}}}, "seed: to"),
    ({"axes": {"seed": {"from": 1, "to": 3, "points": 2, "scale": "lg"}}}, "seed: scale = 'lg'"),
    ({"axes": {"seed": {"from": 0, "to": 999, "step": 1}, "threshold": {"from": 0, "to": 999, "step": 1}, "limit": [1, 2]}},
     "2000000 points: need at most 100000"),
])  # fmt: skip
def test_what_is_no_grid_says_why(tables, message):
    with pytest.raises(ConfigError) as caught:
        load_grid(tables)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("tables, message", [
    ({"axes": [1]}, "axes is a list: need a table of keys, written [axes]"),
    ({"zip": {"seed": [1]}}, "zip is a dict: need a list of tables, each written [[zip]]"),
    ({"preset": {"x": 1}}, "preset.x is a int: need a table of keys, written [preset.x]"),
])  # fmt: skip
def test_a_table_of_another_kind_says_how_it_is_written(tables, message):
    with pytest.raises(ConfigError) as caught:
        load_grid(tables)
    assert message in str(caught.value)


@pytest.mark.parametrize("tables, message", [
    ({"fixed": {"limit": "3"}}, "[fixed] limit = '3': need a whole number"),
    ({"fixed": {"split": ["test"]}}, "[fixed] split = ['test']: need a name"),
    ({"axes": {"limit": [[1], 1]}}, "[axes] limit = [1]: need a whole number"),
    ({"axes": {"max_loss": [True]}}, "[axes] max_loss = True: need a number"),
    ({"axes": {"threshold": [["a"]]}}, "[axes] threshold = ['a']: need a number, or a list of them"),
    ({"axes": {"seed": [0, datetime.date(1979, 5, 27)]}}, "need a whole number"),
    ({"zip": [{"network": [3]}]}, "[zip] network = 3: need a name"),
    ({"axes": {"preset": [["a"]]}}, "[axes] preset = ['a']: need a name"),
    ({"axes": {"arch.fmu.latency_cycles": [[3]]}}, "[axes] arch.fmu.latency_cycles = [3]: need one value"),
])  # fmt: skip
def test_a_value_of_another_kind_is_refused(tables, message):
    with pytest.raises(ConfigError) as caught:
        load_grid(tables)
    assert message in str(caught.value)


@pytest.mark.parametrize("condition, message", [
    ({"leest": 2}, "[[skip]] seed: unknown key 'leest', did you mean 'least'?"),
    ({"least": "x"}, "[[skip]] seed: least"),
])  # fmt: skip
def test_a_misspelt_condition_is_named_as_it_was_written(condition, message):
    with pytest.raises(ConfigError) as caught:
        load_grid({"axes": {"seed": [1]}, "skip": [{"seed": condition}]})
    assert message in str(caught.value)


@pytest.mark.parametrize("written", [
    {"from": 0, "to": 1e300, "step": 1e-300},
    {"from": 10**400, "to": 10**401, "points": 3},
    {"from": 1e-300, "to": 1e300, "points": 2, "scale": "log"},
    {"from": -1e308, "to": 1e308, "points": 2},
])  # fmt: skip
def test_a_range_that_no_number_can_hold_is_refused(written):
    with pytest.raises(ConfigError):
        one("threshold", written)


def test_a_range_of_one_value_several_times_is_refused():
    with pytest.raises(ConfigError, match="twice"):
        one("threshold", {"from": 1, "to": 1, "points": 3})


@pytest.mark.parametrize("content, message", [
    (b"[axes\nseed = [1]", "not TOML: Expected ']'"),
    (b"\xff\xfe", "not UTF-8 (invalid start byte at byte 0), need a TOML file"),
    (b"[axes]\nseed = [1]\nseed = [2]", "not TOML: Cannot overwrite a value"),
    (b"[axes]\ntreshold = [1]", "did you mean 'threshold'"),
])  # fmt: skip
def test_a_bad_file_is_named(content, message, tmp_path):
    path = tmp_path / "grid.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_grid(path)
    assert str(caught.value).startswith(f"{path}: ") and message in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match="nowhere.toml: no such file, need a TOML file with a table"):
        load_grid(tmp_path / "nowhere.toml")


def test_a_folder_is_no_grid(tmp_path):
    with pytest.raises(ConfigError, match="is a folder, need a TOML file"):
        load_grid(tmp_path)


def test_what_toml_cannot_say_is_refused():
    with pytest.raises(ConfigError, match=r"\[fixed\] limit = None: need a whole number"):
        load_grid({"fixed": {"limit": None}})


def test_a_file_and_its_tables_are_the_same_grid(tmp_path):
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


@pytest.mark.parametrize("values", [
    [1, 1.0], [1, True], [0, False], [0.0, -0.0], [[1, 2], [1.0, 2]], [[[0.1]], 3, [[0.1]]], [2, 3, 2],
])  # fmt: skip
def test_equal_values_on_an_axis_are_refused(values):
    with pytest.raises(ConfigError, match=r"threshold has .* twice: need each value once"):
        check_once("threshold", values)


@pytest.mark.parametrize("values", [[1, [1]], [[1], [[1]]], [[1, 2], [2, 1]], ["1", 1], [[], [[]]]])
def test_values_that_differ_may_share_an_axis(values):
    check_once("threshold", values)


class Counted(float):
    """A number that counts how often it is compared."""

    compared = 0

    def __eq__(self, other):
        Counted.compared += 1
        return float(self) == other

    __hash__ = float.__hash__


def test_a_long_axis_is_looked_through_once():
    check_once("threshold", [Counted(i) for i in range(3000)])
    assert Counted.compared < 3000


def test_a_hundred_thousand_listed_values_are_points():
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
def test_the_text_of_tables_is_that_of_tomlkit(tables):
    assert toml_text(tables) == tomlkit.dumps(tables)
