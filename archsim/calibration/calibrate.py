"""`archsim.calibrate`: the largest θ of a network on a trace within a bound."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from archsim.calibration.scales import with_scales
from archsim.calibration.scored import (
    Bound,
    CalibratedThreshold,
    Outcome,
    ScoredTrials,
    frame_of,
    max_trials,
    search_theta,
    write_log,
)
from archsim.calibration.search import calibrate_threshold, check_search
from archsim.calibration.trials import Point
from archsim.corpora.catalogue import load_trace
from archsim.errors import ConfigError
from archsim.files import check_writable, named_path
from archsim.inference.policy_parameters import thresholds_for
from archsim.inference.run import run_compared
from archsim.inference.workload import CACHE_BYTES, Workload
from archsim.ir.folder import load_network
from archsim.ir.manifest import CalibratedPoint, CalibrationManifest
from archsim.ir.network import Network
from archsim.policies import Policy, declaration
from archsim.task_metrics.bootstrap import CONFIDENCE
from archsim.traceio.trace import Trace

OnTrial = Callable[[dict[str, Any]], None]
"""Callback that takes the flat record of a θ just tried."""


def calibrate(
    network: Network | str | Path,
    trace: Trace | str | Path,
    *,
    policy: str = "bnn",
    max_loss: float | None = None,
    max_change: float | None = None,
    margin: float = 0.0,
    highest: float = 4.0,
    resolution: float = 0.01,
    precision: str = "fp16",
    log: str | Path | None = None,
    progress: bool = True,
    on_trial: OnTrial = lambda record: None,
) -> CalibratedThreshold:
    """Return the largest θ up to which no tried θ costs more than a bound, a number with the log of all tried.

    max_loss: points of the task metric that may be lost, by default 1; the trace needs targets. max_change: share that
    the outputs may change (SEMANTICS 1.5), for networks without a metric. margin: standard errors by which a loss stays
    below its bound. log: CSV file of θ against loss or change, rewritten after each trial. progress: draw a bar if
    standard error is a terminal. Choose on training or validation data only.
    Raises ConfigError if there is no θ to choose, no metric for `max_loss`, or even θ = 0 costs too much.
    """
    bound = bound_of(max_loss, max_change)
    checked = check_search(policy, [bound.value], margin, highest, resolution, "network", 1)
    if margin and max_change is not None:
        raise ConfigError(f"margin = {margin}: the change of the outputs has no standard error, need max_loss or 0")
    path = None if log is None else check_writable(named_path(log))
    loaded = network if isinstance(network, Network) else load_network(network)
    inputs = trace if isinstance(trace, Trace) else load_trace(trace)
    if declaration(checked).needs_scales and loaded.scales is None:
        loaded, _ = with_scales(loaded, inputs, precision=precision)
    with trial_bar(f"θ of {checked.name}", max_trials(highest, resolution), progress, on_trial) as shown:
        if max_change is not None:
            run = change_runner(loaded, inputs, checked, precision)
            trials = ScoredTrials(run, bound, shown, path)
            return search_theta(trials, highest=highest, resolution=resolution)
        return _within_loss(loaded, inputs, policy, bound, margin, highest, resolution, precision, path, shown)


def change_evidence(theta: CalibratedThreshold, trace: Trace, *, precision: str = "fp16") -> CalibrationManifest:
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


def bound_of(max_loss: float | None, max_change: float | None) -> Bound:
    """Return the bound that is given, by default one point of loss; ConfigError for both."""
    return Bound(1.0 if max_loss is None and max_change is None else max_loss, max_change)


def change_runner(network: Network, trace: Trace, policy: Policy, precision: str) -> Callable[[float | None], Outcome]:
    """Return a function from θ to reuse and output change on the trace; outputs without reuse are computed once."""
    workload = Workload(network, trace, precision=precision, cache_bytes=CACHE_BYTES)

    def run(threshold: float | None) -> Outcome:
        result = run_compared(workload, policy, thresholds_for(network, policy, threshold or 0.0), keep_outputs=False)
        return Outcome(None, result.activity.avoided_fraction, result.output_change)

    return run


def _within_loss(
    network: Network,
    trace: Trace,
    policy: str,
    bound: Bound,
    margin: float,
    highest: float,
    resolution: float,
    precision: str,
    log: Path | None,
    on_trial: OnTrial,
) -> CalibratedThreshold:
    """Search by the task metric, and return the θ with a record per point."""
    tried: dict[float, dict[str, Any]] = {}

    def on_point(point: Point) -> None:
        record = {
            "threshold": point.threshold,
            "score": point.metric_value,
            "reuse_fraction": point.reuse_fraction,
            "loss": point.metric_loss,
            "loss_low": point.metric_loss_low,
            "loss_high": point.metric_loss_high,
            "fits": point.within(bound.value, margin),
        }
        tried[point.threshold] = record
        if log is not None:
            write_log(frame_of(_sorted(tried)), log)
        on_trial(record)

    found = calibrate_threshold(
        network,
        trace,
        policy,
        max_losses=[bound.value],
        margin=margin,
        highest=highest,
        resolution=resolution,
        precision=precision,
        on_point=on_point,
    )
    theta = found.chosen[bound.value].threshold
    return CalibratedThreshold(theta, _sorted(tried), found.metric_baseline, bound, found.highest)


def _sorted(tried: dict[float, dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    return tuple(tried[threshold] for threshold in sorted(tried))


@contextmanager
def trial_bar(title: str, total: int, shown: bool, on_trial: OnTrial) -> Iterator[OnTrial]:
    """Yield a callback that draws a bar of trials on standard error, if that is a terminal, and calls `on_trial`."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = [TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn()]
    hidden = not (shown and sys.stderr is not None and sys.stderr.isatty())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=hidden) as bars:
        task = bars.add_task(title, total=total)

        def report(record: dict[str, Any]) -> None:
            bars.update(task, advance=1, description=f"{title}: {record['threshold']:g} tried")
            on_trial(record)

        yield report
