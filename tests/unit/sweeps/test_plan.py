"""Planning of a sweep: which points share a pass or a baseline, and which points are refused."""

from pathlib import Path

import pytest
from harness_sweeps import HARDWARE, count_by_kind, grid, tasks_of, write_network

from archsim.errors import UsageError
from archsim.report.html_tables import best_table
from archsim.report.study import study_of
from archsim.sweeps.frames import read_sweep
from archsim.sweeps.grid import load_grid
from archsim.sweeps.plan import plan_points
from archsim.sweeps.point import resolve_point
from archsim.sweeps.run import run_sweep
from archsim.sweeps.task import TaskKind


def test_points_differing_in_hardware_share_one_pass(unlabelled, tmp_path):
    tasks = tasks_of(grid(unlabelled, arch__fmu__latency_cycles=[3, 5, 8], threshold=[0.5]), tmp_path)
    assert count_by_kind(tasks) == {"POINT": 3, "BASELINE": 1, "PASS": 1}
    (made,) = [task for task in tasks if task.kind is TaskKind.PASS]
    assert all(made.name in task.after for task in tasks if task.kind is not TaskKind.PASS)


def test_points_differing_in_a_shared_unit_have_a_baseline_each(unlabelled, tmp_path):
    tasks = tasks_of(grid(unlabelled, arch__dpu__lanes=[8, 16], threshold=[0.5]), tmp_path)
    assert count_by_kind(tasks) == {"POINT": 2, "BASELINE": 2, "PASS": 1}


@pytest.mark.parametrize("axis", [
    {"threshold": [0.1, 0.2]},
    {"precision": ["fp16", "fp32"], "threshold": [0.1]},
    {"limit": [1, 2], "threshold": [0.1]},
    {"policy": ["bnn", "oracle"], "threshold": [0.1]},
])  # fmt: skip
def test_points_differing_in_decisions_or_outputs_share_no_pass(axis, unlabelled, tmp_path):
    assert count_by_kind(tasks_of(grid(unlabelled, **axis), tmp_path))["PASS"] == 2


def test_baseline_is_shared_across_thresholds_and_policies(unlabelled, labelled, tmp_path):
    axes = {"threshold": [0.1, 0.2, 0.3], "policy": ["bnn", "oracle"]}
    assert count_by_kind(tasks_of(grid(unlabelled, **axes), tmp_path)) == {"POINT": 6, "BASELINE": 1, "PASS": 6}
    assert count_by_kind(tasks_of(grid(labelled, **axes), tmp_path)) == {"POINT": 6, "BASELINE": 1, "PASS": 6}


def test_policy_none_needs_no_baseline_task(labelled, tmp_path):
    tasks = tasks_of(grid(labelled, policy=["none"], threshold=[0.1, 0.2]), tmp_path)
    assert count_by_kind(tasks) == {"POINT": 1, "BASELINE": 0, "PASS": 1}


def test_policy_none_runs_once_and_has_a_row_per_threshold(unlabelled, tmp_path, in_process):
    result = run_sweep(grid(unlabelled, policy=["none"], threshold=[0.1, 0.2]), tmp_path / "out")
    assert result.n_points == 2 and result.results["digest"].nunique() == 1
    assert result.results["threshold"].tolist() == [0.1, 0.2]


def test_max_loss_selects_the_calibrated_threshold():
    chosen = {"network": "imdb-lstm", "limit": 1}
    result = [resolve_point(chosen | {"max_loss": loss, "policy": "bnn"}).threshold for loss in (1, 2)]
    assert result[0] <= result[1] and result[0] == resolve_point(chosen | {"policy": "bnn"}).threshold
    assert resolve_point(chosen | {"max_loss": 1, "policy": "none"}).threshold is None


def test_max_loss_selects_thresholds_per_layer_written_as_text(tmp_path):
    """One network is calibrated per layer, one as a whole, so the column of numbers and lists is text."""
    apart = write_network(tmp_path / "apart", labelled=True)
    whole = write_network(tmp_path / "whole", labelled=True, seed=1)
    figures = "reuse_fraction = 0.1, metric_loss = 0, metric_loss_low = 0, metric_loss_high = 0"
    for chosen, theta in ((apart, "[0.1, 0.2]"), (whole, "0.3")):
        evidence = f"points = [{{max_loss = 1, threshold = {theta}, {figures}}}]\n"
        about = 'trace = "t"\ntrace_digest = ""\nsequences = 1\nprecision = "fp16"\nmetric_baseline = 50\n'
        manifest = Path(chosen["network"]) / "network.toml"
        manifest.write_text(f"{manifest.read_text()}[calibration.bnn]\n{about}margin = 0\nconfidence = 1\n{evidence}")
    assert resolve_point(apart | {"max_loss": 1, "policy": "bnn"}).threshold == [0.1, 0.2]
    run_sweep({"fixed": {"policy": "bnn", "max_loss": 1}, "zip": [zipped(apart, whole)]}, tmp_path / "out")
    result = read_sweep(tmp_path / "out")
    assert result.failed.empty and result.results["threshold"].tolist() == ["[0.1, 0.2]", "0.3"]
    assert "[0.1, 0.2]" in str(best_table(study_of(result)).rows)


def zipped(*choices):
    """Return choices of the same keys as axes that advance together."""
    return {key: [one[key] for one in choices] for key in choices[0]}


@pytest.mark.parametrize("more, message", [
    ({"max_loss": 17}, "max_loss = 17: imdb-lstm is calibrated for"),
    ({"max_loss": 17}, "run archsim calibrate --network imdb-lstm --policy bnn --max-loss 17 --save"),
    ({"max_loss": 1, "threshold": 0.1}, "threshold and max_loss are both set: need one of them"),
    ({"trace": "imdb-lstm", "split": "test"}, "trace = 'imdb-lstm' and split = 'test': need one of them"),
    ({"limit": 0}, "limit = 0: need a whole number, at least 1 sequence"),
    ({"threshold": -1}, "need a number >= 0"),
    ({"precision": "fp8"}, "precision = 'fp8': accepted: fp16, fp32"),
    ({"seed": -1}, "seed = -1: need a whole number >= 0"),
    ({HARDWARE: "x"}, "fmu.latency_cycles = 'x'"),
    ({"network": None}, "network is missing: set it in [axes] or [fixed]"),
])  # fmt: skip
def test_invalid_point_is_refused_with_its_reason(more, message):
    chosen = {key: value for key, value in ({"network": "imdb-lstm"} | more).items() if value is not None}
    with pytest.raises(UsageError) as caught:
        resolve_point(chosen)
    assert message in str(caught.value)


@pytest.mark.parametrize("more, message", [
    ({"network": "imdb-lst"}, "did you mean 'imdb-lstm'"),
    ({"trace": "nowhere.npz"}, "nowhere.npz"),
    ({"arch": "epr"}, "did you mean 'epur'"),
    ({"policy": "orakle"}, "did you mean 'oracle'"),
])  # fmt: skip
def test_unknown_name_refuses_the_whole_grid(more, message, unlabelled):
    with pytest.raises(UsageError, match=message):
        plan_points(load_grid({"axes": {"threshold": [0.5, 1]}, "fixed": unlabelled | more})[0])


def test_grid_is_refused_only_if_every_point_is_invalid(unlabelled):
    points = plan_points(load_grid(grid(unlabelled, threshold=[0.5, -1]))[0])
    assert [point.error is None for point in points] == [True, False] and points[1].config is None
    with pytest.raises(UsageError, match=r"none of 2 points can run; the first: .*need a number >= 0"):
        plan_points(load_grid(grid(unlabelled, threshold=[-2, -1]))[0])
