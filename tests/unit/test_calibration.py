"""Calibration of networks whose loss is known, and its refusals."""

from types import SimpleNamespace

import numpy as np
import pytest

import archsim
from archsim.calibration import calibrate_threshold, trials
from archsim.task_metrics.metrics import METRICS
from archsim.traceio.trace import Trace


@pytest.fixture
def known_loss(monkeypatch):
    """Return a function that replaces the inference run by a metric that falls by `loss(θ)` and a reuse of θ / 10."""

    def install(loss):
        def run(workload, policy, theta=0.0, **options):
            right = 9000 if policy.name == "none" else round(9000 - 100 * loss(theta))
            statistics = np.array([[right, 10000]] * 3)
            activity = SimpleNamespace(avoided_fraction=theta / 10)
            metric = METRICS.get("accuracy")
            return SimpleNamespace(
                metric=metric,
                statistics=statistics,
                metric_value=metric.of(statistics),
                activity=activity,
                outputs=None,
            )

        monkeypatch.setattr(trials, "run_workload", run)
        monkeypatch.setattr(trials, "Workload", lambda network, trace, **options: None)

    return install


NETWORK, TRACE = SimpleNamespace(name="n"), Trace.from_arrays([[[0.0]]] * 3, [0] * 3, name="t")


def test_calibration_finds_the_largest_threshold_within_the_loss(known_loss):
    """A loss of 2 points per unit of θ reaches one point at 0.5, to the grid of 0.01."""
    known_loss(lambda theta: 2 * theta)
    result = calibrate_threshold(NETWORK, TRACE, max_losses=[1.0])
    assert result.chosen[1.0].threshold == 0.5 and result.metric_baseline == 90.0
    assert [p.threshold for p in result.points] == sorted(p.threshold for p in result.points)
    assert max(p.metric_loss for p in result.points if p.threshold <= 0.5) <= 1.0


def test_calibration_without_loss_returns_the_highest_threshold(known_loss):
    known_loss(lambda theta: 0.0)
    assert calibrate_threshold(NETWORK, TRACE, highest=2.0).chosen[1.0].threshold == 2.0


def test_calibration_stops_at_a_bump_of_the_loss(known_loss):
    """Loss is not monotone, so a threshold beyond a bump that was tried is not taken."""
    known_loss(lambda theta: 5.0 if theta >= 0.5 or theta == 0.47 else 0.0)
    assert calibrate_threshold(NETWORK, TRACE).chosen[1.0].threshold == 0.46


def test_margin_keeps_the_loss_below_its_bound(monkeypatch):
    """4·θ of 400 right answers become wrong, which is a loss of θ points, with a standard error of about √θ/2."""

    def run(workload, policy, theta=0.0, **options):
        statistics = np.ones((400, 2), np.int64)
        statistics[: round(4 * theta), 0] = 0
        activity = SimpleNamespace(avoided_fraction=theta / 10)
        known = {"metric": METRICS.get("accuracy"), "metric_value": 100.0, "outputs": None}
        return SimpleNamespace(statistics=statistics, activity=activity, **known)

    monkeypatch.setattr(trials, "run_workload", run)
    monkeypatch.setattr(trials, "Workload", lambda network, trace, **options: None)
    options = {"max_losses": [3.0], "highest": 10.0, "resolution": 0.25}
    plain, one, two = (calibrate_threshold(NETWORK, TRACE, margin=margin, **options) for margin in (0, 1, 1.96))
    assert plain.chosen[3.0].threshold == 3.0 and plain.chosen[3.0].standard_error == pytest.approx(0.85, abs=0.05)
    assert one.chosen[3.0].threshold == 2.25 and one.evidence.margin == 1
    assert two.chosen[3.0].threshold == 1.75 and two.chosen[3.0].metric_loss_high == pytest.approx(3.0, abs=0.25)


@pytest.mark.parametrize("options, message", [
    ({"max_losses": [float("nan")]}, "max_loss = nan: need"),
    ({"max_losses": [-1.0]}, "max_loss = -1.0: need"),
    ({"highest": float("nan")}, "highest = nan: need"),
    ({"highest": -1.0}, "highest = -1.0: need"),
    ({"margin": -1.0}, "margin = -1.0: need"),
    ({"resolution": 0.0}, "resolution = 0.0: need"),
    ({"max_losses": []}, "max_losses is empty"),
    ({"policy_name": "none"}, "has no threshold to calibrate"),
    ({"max_losses": [0.05]}, "even θ = 0 loses 0.10 points"),
])  # fmt: skip
def test_invalid_calibration_is_refused(options, message, known_loss):
    known_loss(lambda theta: 0.1 + theta)
    with pytest.raises(archsim.ArchsimError, match=message):
        calibrate_threshold(NETWORK, TRACE, **options)
