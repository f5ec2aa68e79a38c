"""Grids that are refused: tables, keys, values and files that are wrong, and the message of each."""

import datetime
import math

import pytest

from archsim.errors import ConfigError
from archsim.sweeps.grid import load_grid


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
def test_invalid_grid_is_refused_with_its_reason(tables, message):
    with pytest.raises(ConfigError) as caught:
        load_grid(tables)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("tables, message", [
    ({"axes": [1]}, "axes is a list: need a table of keys, written [axes]"),
    ({"zip": {"seed": [1]}}, "zip is a dict: need a list of tables, each written [[zip]]"),
    ({"preset": {"x": 1}}, "preset.x is a int: need a table of keys, written [preset.x]"),
])  # fmt: skip
def test_table_of_a_wrong_kind_is_refused_with_its_notation(tables, message):
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
def test_value_of_a_wrong_kind_is_refused(tables, message):
    with pytest.raises(ConfigError) as caught:
        load_grid(tables)
    assert message in str(caught.value)


@pytest.mark.parametrize("condition, message", [
    ({"leest": 2}, "[[skip]] seed: unknown key 'leest', did you mean 'least'?"),
    ({"least": "x"}, "[[skip]] seed: least"),
])  # fmt: skip
def test_misspelt_condition_is_named_with_its_table(condition, message):
    with pytest.raises(ConfigError) as caught:
        load_grid({"axes": {"seed": [1]}, "skip": [{"seed": condition}]})
    assert message in str(caught.value)


@pytest.mark.parametrize("content, message", [
    (b"[axes\nseed = [1]", "not TOML: Expected ']'"),
    (b"\xff\xfe", "not UTF-8 (invalid start byte at byte 0), need a TOML file"),
    (b"[axes]\nseed = [1]\nseed = [2]", "not TOML: Cannot overwrite a value"),
    (b"[axes]\ntreshold = [1]", "did you mean 'threshold'"),
])  # fmt: skip
def test_invalid_grid_file_is_named(content, message, tmp_path):
    path = tmp_path / "grid.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_grid(path)
    assert str(caught.value).startswith(f"{path}: ") and message in str(caught.value)


def test_missing_grid_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="nowhere.toml: no such file, need a TOML file with a table"):
        load_grid(tmp_path / "nowhere.toml")


def test_folder_as_a_grid_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="is a folder, need a TOML file"):
        load_grid(tmp_path)


def test_none_as_a_value_is_refused():
    with pytest.raises(ConfigError, match=r"\[fixed\] limit = None: need a whole number"):
        load_grid({"fixed": {"limit": None}})
