"""Flat record of a run: the keys of docs/CONTRACT.md, None where a figure does not apply."""

from __future__ import annotations

import json
import math
from typing import Any

from archsim._version import __version__
from archsim.activity import ActivityRecord
from archsim.experiment.run_config import RunConfig
from archsim.experiment.simulated_run import Baseline, SimulatedRun
from archsim.inference.run import InferenceResult
from archsim.task_metrics.bootstrap import interval, loss_interval
from archsim.units import PS_PER_S

Record = dict[str, Any]
HEAD_KEYS = (
    *("head_macs", "head_time_s", "head_energy_j", "baseline_head_time_s", "baseline_head_energy_j"),
    *("speedup_with_head", "energy_saving_with_head"),
)
LARGE_CHANGE = 0.05
"""Output change above which gains are doubtful, unless a metric says whether it matters."""
METRIC_KEYS = (
    "metric",
    *("metric_baseline", "metric_baseline_low", "metric_baseline_high"),
    *("metric_value", "metric_value_low", "metric_value_high"),
    *("metric_loss", "metric_loss_low", "metric_loss_high"),
)
"""Keys of three values, each with the ends of its bootstrap interval."""


def make_record(
    config: RunConfig,
    inference: InferenceResult,
    simulated: SimulatedRun,
    baseline: Baseline,
) -> Record:
    """Return all figures of a run as one flat record; the caller sets `wall_s`."""
    return {
        "network": config.network.name,
        "trace": config.trace.name,
        "arch": config.arch.name,
        "policy": config.policy.name,
        "threshold": _flat(config.threshold),
        "precision": config.precision,
        "detail": config.detail,
        **_reuse_figures(inference.activity, simulated),
        **_machine_figures(simulated, baseline.simulated, with_memo=config.compares),
        **_head_figures(simulated, baseline.simulated),
        "output_change": inference.output_change,
        **_metric_figures(inference, baseline.inference),
        "events": simulated.run.events,
        "wall_s": None,
        "archsim_version": __version__,
        "digest": config.digest,
    }


def _flat(threshold: Any) -> float | str | None:
    """Return θ for a flat record, in which thresholds per layer or gate become JSON text."""
    return json.dumps(threshold) if isinstance(threshold, list) else threshold


def _reuse_figures(activity: ActivityRecord, simulated: SimulatedRun) -> Record:
    total, reused = activity.neurons_total, activity.neurons_reused()
    return {
        "sequences": activity.n_sequences,
        "steps": activity.total_steps,
        "neurons_total": total,
        "neurons_reused": reused,
        "reuse_fraction": None if reused is None else reused / total,
        "macs_total": activity.macs_total,
        "macs_avoided_fraction": 1 - simulated.macs / activity.macs_total,
    }


def _machine_figures(simulated: SimulatedRun, baseline: SimulatedRun, *, with_memo: bool) -> Record:
    return {
        "cycles": simulated.run.cycles,
        "time_s": simulated.run.time_ps / PS_PER_S,
        "baseline_cycles": baseline.run.cycles,
        "speedup": baseline.run.cycles / simulated.run.cycles,
        "energy_j": simulated.energy_j,
        "baseline_energy_j": baseline.energy_j,
        "energy_saving": 1 - simulated.energy_j / baseline.energy_j,
        "energy_scratchpad_j": simulated.bucket_j("scratchpad"),
        "energy_operations_j": simulated.bucket_j("operations"),
        "energy_dram_j": simulated.bucket_j("dram"),
        "energy_memo_j": simulated.bucket_j("memo") if with_memo else None,
        "energy_static_j": simulated.bucket_j("static"),
        "dram_bytes": simulated.dram_bytes,
        "area_mm2": math.fsum(simulated.areas_mm2.values()),
    }


def _head_figures(simulated: SimulatedRun, baseline: SimulatedRun) -> Record:
    """Return the figures of the head, and the gains of the whole network with the head included."""
    if simulated.head is None or baseline.head is None:
        return dict.fromkeys(HEAD_KEYS)
    time_ps, baseline_ps = simulated.head.run.time_ps, baseline.head.run.time_ps
    energy_j, baseline_j = simulated.head.energy_j, baseline.head.energy_j
    figures = (
        simulated.head.macs,
        time_ps / PS_PER_S,
        energy_j,
        baseline_ps / PS_PER_S,
        baseline_j,
        (baseline.run.time_ps + baseline_ps) / (simulated.run.time_ps + time_ps),
        1 - (simulated.energy_j + energy_j) / (baseline.energy_j + baseline_j),
    )
    return dict(zip(HEAD_KEYS, figures, strict=True))


def _metric_figures(inference: InferenceResult, baseline: InferenceResult) -> Record:
    metric, before, after = inference.metric, baseline.statistics, inference.statistics
    if metric is None or before is None or after is None:
        return dict.fromkeys(METRIC_KEYS)
    value_before, value_after = metric.of(before), metric.of(after)
    figures = (
        metric.name,
        value_before,
        *interval(metric, before),
        value_after,
        *interval(metric, after),
        metric.loss(value_before, value_after),
        *loss_interval(metric, before, after),
    )
    return dict(zip(METRIC_KEYS, figures, strict=True))
