"""The largest θ of a network on a trace within a bound on the loss of its metric, or on the change of its outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from archsim.calibration.scales import with_missing_scales
from archsim.calibration.scored import CalibratedThreshold, Outcome, frame_of, write_log
from archsim.calibration.search import calibrate_threshold
from archsim.calibration.theta_search import ThetaSearch
from archsim.calibration.trials import Point
from archsim.inference.batch_runner import NOTHING
from archsim.inference.policy_parameters import lacks_measures, thresholds_for
from archsim.inference.run import run_compared
from archsim.inference.workload import CACHE_BYTES, Workload
from archsim.ir.manifest import CalibratedPoint, CalibrationManifest
from archsim.ir.network import Network
from archsim.task_metrics.bootstrap import CONFIDENCE
from archsim.traceio.trace import Trace


def calibrate_network(network: Network, trace: Trace, search: ThetaSearch) -> CalibratedThreshold:
    """Return the largest θ up to which no tried θ costs more than the bound.

    Scales that the policy or the precision needs are measured on the trace where the network has none.
    Raises ConfigError if there is no metric for a bound on the loss, or even θ = 0 costs too much.
    """
    if lacks_measures(network, search.policy, search.precision):
        network = with_missing_scales(network, trace, precision=search.precision)
    if search.bound.max_change is not None:
        return search.over(_change_runner(network, trace, search))
    return _within_loss(network, trace, search)


def _change_runner(network: Network, trace: Trace, search: ThetaSearch) -> Callable[[float | None], Outcome]:
    """Return a function from θ to reuse and output change on the trace; outputs without reuse are computed once."""
    workload = Workload(network, trace, precision=search.precision, cache_bytes=CACHE_BYTES)

    def run(threshold: float | None) -> Outcome:
        thresholds = thresholds_for(network, search.policy, threshold or 0.0)
        result = run_compared(workload, search.policy, thresholds, keep=NOTHING)
        return Outcome(None, result.activity.avoided_fraction, result.output_change)

    return run


def _within_loss(network: Network, trace: Trace, search: ThetaSearch) -> CalibratedThreshold:
    """Search by the task metric; the records have the ends of the loss's interval, too."""
    tried: dict[float, dict[str, Any]] = {}
    with search.bar() as on_trial:

        def on_point(point: Point) -> None:
            tried[point.threshold] = record = {
                "threshold": point.threshold,
                "score": point.metric_value,
                "reuse_fraction": point.reuse_fraction,
                "loss": point.metric_loss,
                "loss_low": point.metric_loss_low,
                "loss_high": point.metric_loss_high,
                "fits": point.within(search.bound.value, search.margin),
            }
            if search.log is not None:
                write_log(frame_of(_sorted(tried)), search.log)
            on_trial(record)

        found = calibrate_threshold(
            network,
            trace,
            search.policy,
            max_losses=[search.bound.value],
            margin=search.margin,
            highest=search.highest,
            resolution=search.resolution,
            precision=search.precision,
            on_point=on_point,
        )
    theta = found.chosen[search.bound.value].threshold
    return CalibratedThreshold(theta, _sorted(tried), found.metric_baseline, search.bound, found.highest)


def _sorted(tried: dict[float, dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    return tuple(tried[threshold] for threshold in sorted(tried))


def change_evidence(theta: CalibratedThreshold, trace: Trace, precision: str) -> CalibrationManifest:
    """Return the evidence of a θ found by `max_change`, as a network's manifest keeps it."""
    chosen = next(record for record in theta.tried if record["threshold"] == float(theta))
    point = CalibratedPoint(
        max_change=theta.bound.value,
        threshold=float(theta),
        reuse_fraction=round(chosen["reuse_fraction"], 6),
        output_change=round(chosen["output_change"], 6),
    )
    return CalibrationManifest(
        trace=trace.name,
        trace_digest=trace.digest,
        sequences=len(trace),
        precision=precision,
        margin=0.0,
        highest=round(theta.highest, 6),
        confidence=CONFIDENCE,
        points=(point,),
    )
