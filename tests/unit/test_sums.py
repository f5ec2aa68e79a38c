"""Sums of figures that no version of Python or numpy changes in the last digit."""

import builtins
import functools
import math
import operator
import sys

import numpy as np
import pytest
from harness import run_sweeps_in_process
from hypothesis import given
from hypothesis import strategies as st

from archsim.calibration import calibrate_threshold
from archsim.cli.main import archsim as command
from archsim.corpora.catalogue import load_trace
from archsim.exploration import search as exploring
from archsim.ir.folder import load_network
from archsim.report.assemble import write_report
from archsim.reproduce.neurons import observe
from archsim.reproduce.paper_tables import area_table
from archsim.sums import add_along, mean
from archsim.sweeps import run as sweeps
from archsim.task_metrics.metrics import METRICS

BUILTIN = builtins.sum


def naive(values, start=0):
    """Return `sum` as Python 3.11 computes it."""
    return functools.reduce(operator.add, values, start)


def compensated(values, start=0):
    """Return `sum` roughly as Python 3.12 computes it."""
    values = list(values)
    return math.fsum([start, *values]) if any(isinstance(v, float) for v in values) else naive(values, start)


def refuse_floats(values, start=0):
    """Return `sum`, but fail if archsim adds floats by it."""
    values = list(values)
    if sys._getframe(1).f_globals.get("__name__", "").startswith("archsim"):
        assert not any(isinstance(value, float) for value in values), f"sum() of floats: {values[:3]}"
    return BUILTIN(values, start)


@pytest.fixture
def whole_numbers_only(monkeypatch):
    """Make any sum of floats by the builtin fail; sweeps run without worker processes."""
    monkeypatch.setattr(builtins, "sum", refuse_floats)
    run_sweeps_in_process(monkeypatch, sweeps, exploring)


def test_builtin_sum_differs_between_versions_of_python():
    """The tests below rest on this."""
    values = [0.1] * 10
    assert naive(values) != compensated(values) == 1.0


def test_run_and_show_use_no_builtin_sum_of_floats(whole_numbers_only, tmp_path):
    run = ["run", "-n", "imdb-lstm", "--limit", "2", "-p", "bnn", "-p", "delta", "-v", "--sensitivity"]
    assert not command.main([*run, "--json", str(tmp_path / "run.json")], standalone_mode=False)
    command.main(["show", "epur"], standalone_mode=False)
    assert area_table().rows


def test_sweep_and_report_use_no_builtin_sum_of_floats(whole_numbers_only, tmp_path):
    fixed = {"network": "imdb-lstm", "limit": 2}
    sweeps.run_sweep({"axes": {"threshold": [0.2, 0.4], "policy": ["bnn", "oracle"]}, "fixed": fixed}, tmp_path)
    assert write_report(tmp_path).is_file()


def test_explore_uses_no_builtin_sum_of_floats(whole_numbers_only, tmp_path):
    options = ["--limit", "2", "-p", "bnn", "--widths", "512,1024", "--refine", "0", "-o", str(tmp_path)]
    command.main(["explore", "-n", "imdb-lstm", *options], standalone_mode=False)


def test_calibrate_and_observe_use_no_builtin_sum_of_floats(whole_numbers_only):
    network, trace = load_network("imdb-lstm"), load_trace("imdb-lstm").limit(2)
    assert calibrate_threshold(network, trace, per="gate", passes=6, resolution=0.5).points
    assert len(observe(network, trace.limit(1)).change_summary()) == 2


@pytest.mark.parametrize("counts", [
    (67, 45, 30, 20, 100, 98, 95, 92, 100, 104),
    (9, 5, 3, 0, 11, 10, 9, 8, 11, 11),
    (3, 1, 0, 0, 5, 4, 3, 2, 5, 7),
])  # fmt: skip
def test_bleu_does_not_depend_on_the_builtin_sum(counts, monkeypatch):
    from sacrebleu.metrics.bleu import BLEU

    scores, theirs = set(), []
    for adds in (naive, compensated):
        monkeypatch.setattr(builtins, "sum", adds)
        scores.add(METRICS.get("bleu").value(counts))
        theirs.append(BLEU.compute_bleu(list(counts[:4]), list(counts[4:8]), *counts[8:], smooth_method="exp").score)
    assert len(scores) == 1 and scores.pop() == pytest.approx(theirs[0], rel=1e-12)


@pytest.mark.parametrize("counts", [(0,) * 4 + (5, 4, 3, 2, 5, 7), (2, 1, 0, 0, 2, 1, 0, 0, 2, 2), (0,) * 10])
def test_bleu_of_no_match_or_a_short_answer_is_zero(counts):
    assert METRICS.get("bleu").value(counts) == 0


floats = st.floats(-1e6, 1e6)


@given(st.lists(floats, min_size=1, max_size=40), st.randoms())
def test_mean_does_not_depend_on_the_order(values, random):
    shuffled = random.sample(values, len(values))
    assert mean(values) == mean(shuffled) == math.fsum(values) / len(values)


def test_mean_of_nothing_or_of_nan_is_nan():
    assert math.isnan(mean([])) and math.isnan(mean([1.0, math.nan]))


@given(st.lists(floats, min_size=1, max_size=300))
def test_add_along_adds_element_by_element(values):
    array = np.array(values)
    assert add_along(array) == naive(values, 0.0)
    assert add_along(np.stack([array, array]), axis=1).tolist() == [naive(values, 0.0)] * 2
