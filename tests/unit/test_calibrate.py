"""`archsim.calibrate`: a number with its log, by loss or by change of the outputs; the search over a plain callable."""

import copy
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from harness import make_network, make_trace
from hypothesis import given
from hypothesis import strategies as st

import archsim
from archsim.calibration.scored import Bound, Outcome, ScoredTrials, largest_step, max_trials, search_theta
from archsim.cli.main import archsim as command_line
from archsim.errors import ConfigError
from archsim.ir.folder import read_manifest
from archsim.ir.saving import save_network


@given(st.integers(0, 400), st.integers(0, 400))
def test_largest_step_below_a_limit_is_found(limit, last):
    tried = []
    found = largest_step(lambda step: tried.append(step) or step <= limit, last)
    assert found == min(limit, last) and len(tried) <= 2 * max_trials(last, 1.0)


def test_nothing_fits_if_step_zero_does_not():
    assert largest_step(lambda step: False, 10) is None


def scored(loss, log=None, **bound):
    runs = []

    def run(theta):
        runs.append(theta)
        return Outcome(90.0 - (0.0 if theta is None else loss(theta)), None if theta is None else theta / 10, theta)

    return ScoredTrials(run, Bound(**bound), log_path=log), runs


def test_search_over_a_callable_finds_the_threshold_and_keeps_a_log(tmp_path):
    trials, runs = scored(lambda theta: 2 * theta, max_loss=1.0, log=tmp_path / "log.csv")
    theta = search_theta(trials)
    assert theta == 0.5 and theta.baseline == 90.0 and not theta.reached_end
    assert runs[0] is None and len(runs) == 1 + len(set(runs[1:]))
    log = theta.log
    assert list(log["threshold"]) == sorted(runs[1:]) and log["fits"].sum() == (log["loss"] <= 1.0).sum()
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "log.csv"), log)
    again = copy.deepcopy(theta)
    assert again == theta and again.tried == theta.tried and again.bound == theta.bound


def test_log_is_kept_when_a_run_fails(tmp_path):
    def run(theta):
        if theta is not None and theta > 1:
            raise KeyboardInterrupt
        return Outcome(1.0)

    with pytest.raises(KeyboardInterrupt):
        search_theta(ScoredTrials(run, Bound(max_loss=0.0), log_path=tmp_path / "log.csv"))
    assert list(pd.read_csv(tmp_path / "log.csv")["threshold"]) == [0.0]


def test_search_by_change_needs_no_score():
    trials, runs = scored(lambda theta: 0.0, max_change=0.3)
    assert search_theta(trials, highest=1.0) == 0.3 and None not in runs
    trials, _ = scored(lambda theta: 0.0, max_change=5.0)
    assert search_theta(trials, highest=1.0).reached_end


@pytest.mark.parametrize("outcome, bound, message", [
    (Outcome(math.nan), {"max_loss": 1.0}, "evaluate returned nan: need one finite number, higher is better"),
    (Outcome(np.zeros((40, 2))), {"max_loss": 1.0}, r"evaluate returned array\(\[\[0., 0.\], \[0., 0.\].{20,60}\.\.\.: need one finite"),
    (Outcome("high"), {"max_loss": 1.0}, "evaluate returned 'high'"),
    (Outcome(np.zeros(2)), {"max_loss": 1.0}, "need one finite number"),
    (Outcome(), {"max_loss": 1.0}, "evaluate returned None"),
    (Outcome(), {"max_change": 1.0}, "outputs cannot be compared"),
    (Outcome(1.0, 0.0, 0.2), {"max_change": 0.1}, "even θ = 0 changes the outputs by 0.2: too much for a bound of 0.1"),
    (None, {}, "max_loss = None and max_change = None: need one of them"),
    (None, {"max_loss": 1.0, "max_change": 1.0}, "need one of them"),
    (None, {"max_loss": -1.0}, "max_loss = -1.0: need a finite number >= 0"),
    (None, {"max_change": "x"}, "max_change = x: need a finite number >= 0"),
])  # fmt: skip
def test_scores_and_bounds_without_meaning_are_refused(outcome, bound, message):
    with pytest.raises(ConfigError, match=message):
        search_theta(ScoredTrials(lambda theta: outcome, Bound(**bound)))


@pytest.fixture
def pair():
    network = make_network("lstm", inputs=40, units=24)
    return network, make_trace(network, (20, 30))


@pytest.mark.parametrize("policy, hint", [("bnn", "signs only.*try policy delta$"), ("lowbit", "bound of 0$")])
def test_message_names_signs_as_the_reason_only_where_the_policy_looks_at_signs(policy, hint, pair):
    with pytest.raises(ConfigError, match=f"even θ = 0 changes the outputs by .*{hint}"):
        archsim.calibrate(*pair, policy=policy, max_change=0.0, progress=False)


@pytest.mark.parametrize("policy", ["bnn", "delta", "lowbit:bits=4"])
def test_largest_threshold_within_a_change_is_that_of_simulate(policy, pair):
    network, trace = pair
    theta = archsim.calibrate(
        network, trace, policy=policy, max_change=0.2, highest=2.0, resolution=0.05, progress=False
    )
    record = archsim.simulate(network, trace, policy=policy, threshold=theta).record
    chosen = theta.log.set_index("threshold").loc[float(theta)]
    assert record["output_change"] == chosen["output_change"] <= 0.2 and record["threshold"] == theta
    if not theta.reached_end:
        more = archsim.simulate(network, trace, policy=policy, threshold=round(theta + 0.05, 10)).record
        assert more["output_change"] > 0.2


def test_calibration_by_loss_is_that_of_the_search(tmp_path):
    trace = archsim.load_trace("imdb-lstm").limit(8)
    theta = archsim.calibrate("imdb-lstm", trace, max_loss=20, highest=0.5, resolution=0.1, log=tmp_path / "log.csv")
    from archsim.calibration import calibrate_threshold

    options = {"max_losses": [20.0], "highest": 0.5, "resolution": 0.1}
    found = calibrate_threshold(archsim.load_network("imdb-lstm"), trace, **options)
    assert theta == found.chosen[20.0].threshold and theta.baseline == found.metric_baseline
    assert (
        list(theta.log["threshold"])
        == list(found.log["threshold"])
        == list(pd.read_csv(tmp_path / "log.csv")["threshold"])
    )
    assert list(theta.log["loss"]) == list(found.log["metric_loss"])


@pytest.mark.parametrize("options, message", [
    ({}, "names no metric: there is no loss to hold to a bound"),
    ({"max_loss": 1.0, "max_change": 0.1}, "need one of them"),
    ({"max_change": 0.1, "margin": 1.0}, "margin = 1.0: the change of the outputs has no standard error"),
    ({"max_change": 0.1, "policy": "none"}, "policy 'none' has no threshold to calibrate"),
    ({"max_change": 0.1, "resolution": 0}, "resolution = 0: need a number > 0"),
    ({"max_change": 0.1, "log": "absent/log.csv"}, "cannot write absent/log.csv: folder absent does not exist"),
])  # fmt: skip
def test_calibration_that_cannot_run_is_refused(options, message, pair):
    with pytest.raises(archsim.ArchsimError, match=message):
        archsim.calibrate(*pair, **options)


# The command


@pytest.fixture
def files(tmp_path, pair):
    save_network(replace(pair[0], scales=None), tmp_path / "net")
    archsim.write_trace(pair[1], tmp_path / "trace.npz")
    return ["calibrate", "-n", str(tmp_path / "net"), "-t", str(tmp_path / "trace.npz"), "--resolution", "0.05"]


def test_command_finds_and_saves_a_threshold_by_change(files, tmp_path):
    log = tmp_path / "log.csv"
    done = CliRunner().invoke(command_line, [*files, "--max-change", "0.2", "--save", "--log", str(log)])
    assert done.exit_code == 0, done.output
    assert "the largest θ that changes the outputs by at most 20.00 %" in done.stdout
    network, evidence = (
        archsim.load_network(tmp_path / "net"),
        read_manifest(tmp_path / "net" / "network.toml").calibration["bnn"],
    )
    (point,) = evidence.points
    assert network.thresholds["bnn"] == point.threshold and point.max_change == 0.2 and point.max_loss is None
    assert evidence.metric_baseline is None and point.output_change <= 0.2
    assert list(pd.read_csv(log).columns) == ["threshold", "reuse_fraction", "output_change", "fits"]
    shown = CliRunner().invoke(command_line, ["show", str(tmp_path / "net")])
    assert shown.exit_code == 0 and "change 0.2" in " ".join(shown.output.split())
    assert archsim.simulate(network, archsim.load_trace(tmp_path / "trace.npz")).record["threshold"] == point.threshold


@pytest.mark.parametrize("options, message", [
    (["--max-change", "0.1", "--max-loss", "1"], "need it without --max-loss, --per or --scales-only"),
    (["--max-change", "0.1", "--per", "layer"], "need it without"),
    (["--max-change", "-1"], "max_change = -1.0: need a finite number"),
    (["--max-change", "0.1", "--policy", "ternary", "--save"], "needs scales: --scales-only --save measures them first"),
    ([], "names no metric"),
])  # fmt: skip
def test_command_refuses_what_cannot_be_searched(options, message, files):
    done = CliRunner().invoke(command_line, [*files, *options])
    with pytest.raises(archsim.ArchsimError, match=message):
        raise done.exception
