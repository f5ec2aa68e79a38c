"""Exploration of candidates: what is tried, what is refused, and the same points as an exhaustive sweep."""

from types import SimpleNamespace

import numpy as np
import pytest
from harness import run_sweeps_in_process, write_classifier, write_lstm_files

import archsim
from archsim.errors import ConfigError, UsageError
from archsim.exploration import search
from archsim.exploration.candidates import POLICIES, WIDTH, Candidate, candidates, runnable
from archsim.exploration.page import LABELS, not_run, write_exploration
from archsim.exploration.points import energy_delay_area, pareto_front
from archsim.exploration.search import explore
from archsim.exploration.threshold_search import LogGrid
from archsim.policies import policy_from
from archsim.sweeps import run as sweeps
from archsim.sweeps.run import run_sweep

BOUND = 22.0
"""Loss in points that each policy of the tiny classifier crosses once."""
REUSING = ("bnn", "bnn:throttle=off")


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """Return the choices of a tiny classifier and a trace on which it is right."""
    return write_classifier(tmp_path_factory.mktemp("own") / "net", [12] * 40, seed=1)


@pytest.fixture
def in_process(monkeypatch):
    """Run explorations and sweeps without worker processes."""
    run_sweeps_in_process(monkeypatch, search, sweeps)


# Candidates and refusals


def test_default_policies_are_distinct_and_registered():
    assert len({policy_from(name).name for name in POLICIES}) == len(POLICIES) == 17


def test_candidates_omit_machines_that_do_not_differ(classifier, monkeypatch):
    none, bnn, again = candidates(classifier, ["bnn", "oracle", "bnn:throttle=on"], [2048, 256, 256])[:3]
    assert none == Candidate("none", (2048,), has_unit=False, has_theta=False)
    assert bnn == Candidate("bnn", (256, 2048), has_unit=True, has_theta=True)
    assert again.policy == "oracle"


def test_default_policies_that_cannot_run_are_left_out_with_the_reason(classifier):
    """The tiny classifier has neither scales nor means of inputs."""
    found, left_out = runnable(classifier, POLICIES, [256])
    names = ["none", "bnn", "bnn:throttle=off", "input-similarity", "delta", "delta:weighted=on"]
    names += ["delta:weighted=on,tail=2", "delta:weighted=on,tail=3", "delta:weighted=on,tail=4"]
    assert [candidate.policy for candidate in found] == names
    assert set(left_out) == set(POLICIES) - set(names)
    assert "has no scales" in left_out["ternary"] and "has no means of inputs" in left_out["bnn:centre=on"]


def test_reason_is_raised_if_no_default_policy_can_run(classifier, tmp_path):
    (tmp_path / "bare.toml").write_text("fmu = false\ndelta = false\n")
    with pytest.raises(ConfigError, match="has no delta, which policy 'delta:weighted=on,tail=4' needs"):
        runnable(classifier | {"arch": str(tmp_path / "bare.toml")}, POLICIES, [256])


def test_left_out_policies_are_listed_by_reason():
    reasons = {name: f"net lacks what policy {name!r} needs" for name in ("ternary", "lowbit")}
    text = "Left out, because they cannot run: ternary, lowbit (net lacks what it needs)."
    assert not_run(SimpleNamespace(left_out=reasons)) == text
    assert not_run(SimpleNamespace(left_out={})) == ""


def test_architecture_without_fmu_refuses_policies_that_need_it(classifier, tmp_path):
    (tmp_path / "bare.toml").write_text("fmu = false\n")
    bare = classifier | {"arch": str(tmp_path / "bare.toml")}
    assert candidates(bare, ["none"], [256]) == [Candidate("none", (), has_unit=False, has_theta=False)]
    with pytest.raises(ConfigError, match="has no fmu, which policy 'bnn' needs"):
        candidates(bare, ["bnn"], [256])


@pytest.mark.parametrize("options, message", [
    ({"policies": ["bn"]}, "unknown policy 'bn', did you mean 'bnn'"),
    ({"policies": []}, "policies = \\[\\], widths = .*: need at least one of each"),
    ({"policies": ["ternary"]}, "has no scales, which policy 'ternary' quantises inputs by"),
    ({"widths": [0]}, "fmu.width_bits = 0"),
    ({"max_loss": -1}, "max_loss = -1: need a finite number >= 0"),
    ({"max_loss": float("nan")}, "max_loss = nan"),
    ({"margin": -1}, "margin = -1: need a finite number >= 0"),
    ({"refine": 99}, "refine = 99: need 0 to 5"),
    ({"limit": 0}, "limit = 0: need a whole number, at least 1 sequence"),
    ({"split": "valid"}, "need one of them"),
    ({"arch": "epurr"}, "unknown architecture 'epurr'"),
    ({"jobs": 0}, "jobs = 0: need at least 1 process"),
])  # fmt: skip
def test_invalid_exploration_is_refused_before_anything_is_written(options, message, classifier, tmp_path):
    with pytest.raises(UsageError, match=message):
        explore(folder=tmp_path / "out", **({"policies": REUSING} | classifier | options))
    assert not (tmp_path / "out").exists()


def test_network_without_metric_is_refused(classifier, tmp_path):
    plain = write_lstm_files(tmp_path, (5, 3))
    with pytest.raises(ConfigError, match="network mine names no metric: there is no loss to hold to a bound"):
        explore(plain / "net", tmp_path / "out", trace=plain / "trace.npz")
    frames = archsim.Trace.from_arrays([np.ones((4, 6), np.float32)], name="bare")
    archsim.write_trace(frames, tmp_path / "bare.npz")
    with pytest.raises(ConfigError, match="trace bare has no targets: need a labelled trace"):
        explore(classifier["network"], tmp_path / "out", trace=tmp_path / "bare.npz")


# Against a plain sweep


def test_exploration_finds_the_results_of_a_full_grid_in_fewer_passes(
    classifier, tmp_path, in_process, computed_policies
):
    """Largest θ per policy and best point are equal; the front only lacks points of a smaller θ."""
    grid, widths = LogGrid(bisections=0), [4, 64]
    result = explore(**classifier, folder=tmp_path / "out", max_loss=BOUND, policies=REUSING, widths=widths, refine=0)
    assert len(computed_policies) <= 1 + len(REUSING) * grid.max_tries
    thetas = [grid.theta(index) for index in range(-4 * grid.stride, 7 * grid.stride + 1)]
    axes = {"policy": list(REUSING), "threshold": thetas, WIDTH: widths}
    every = run_sweep({"axes": axes, "fixed": classifier}, tmp_path / "every").results
    every = every.assign(product=energy_delay_area(every, result.reference["area_mm2"]))
    fitting = every[every["metric_loss"] <= BOUND]
    largest = fitting.groupby("policy")["threshold"].max()
    assert result.fitting.groupby("policy")["threshold"].max().to_dict() == largest.to_dict()
    for policy, theta in largest.items():  # else the largest is not what the search looks for
        assert (every[(every["policy"] == policy) & (every["threshold"] <= theta)]["metric_loss"] <= BOUND).all()
        assert theta < grid.theta(7 * grid.stride)
    keys = ["policy", "threshold", WIDTH]
    best = fitting.sort_values("product", kind="stable").iloc[0]
    assert result.best[keys].tolist() == best[keys].tolist() and result.best["product"] == best["product"]
    ours, theirs = (
        set(map(tuple, rows[keys].to_numpy())) for rows in (result.front.iloc[1:], fitting[pareto_front(fitting)])
    )
    assert ours and ours <= theirs and all(theta < largest[policy] for policy, theta, _ in theirs - ours)


def test_second_exploration_computes_nothing_or_little_for_a_new_bound(
    classifier, tmp_path, in_process, computed_policies
):
    options = classifier | {"folder": tmp_path / "out", "policies": REUSING, "widths": [8, 64]}
    first = explore(**options, max_loss=BOUND)
    computed = len(computed_policies)
    again = explore(**options, max_loss=BOUND)
    assert len(computed_policies) == computed > 0 and again.records() == first.records()
    assert again.recommendation == first.recommendation
    explore(**options, max_loss=BOUND, margin=0.5)
    assert len(computed_policies) < 1.6 * computed


def test_page_holds_the_front_and_the_recommendation(classifier, tmp_path, in_process):
    result = explore(
        **classifier, folder=tmp_path / "out", max_loss=BOUND, policies=["bnn", "oracle"], widths=[64], refine=0
    )
    page = write_exploration(result, tmp_path / "out")
    text = page.read_text("utf-8")
    assert page.name == "explore.html" and result.recommendation in text and "The front" in text
    assert all(label.text in text for label in LABELS.values()) and "<script" not in text
    assert {path.name for path in (tmp_path / "out" / "figures").iterdir()} == {
        f"{name}{suffix}" for name in ("front", "tradeoff") for suffix in (".svg", ".png")
    }
    assert write_exploration(result, tmp_path / "out").read_text("utf-8") == text


def test_policies_without_threshold_take_one_pass_each(classifier, tmp_path, in_process, computed_policies):
    result = explore(**classifier, folder=tmp_path / "out", policies=["none"], widths=[64, 256])
    assert computed_policies == ["none"] and len(result.points) == 1
    assert result.recommendation == "No policy that reuses and that a machine can have was explored."
