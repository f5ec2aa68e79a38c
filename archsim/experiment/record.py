"""The flat record of a run: the keys of docs/CONTRACT.md, None where a figure does not apply."""

from __future__ import annotations

import json
from typing import Any

from archsim._version import __version__
from archsim.experiment.setting import Setting
from archsim.experiment.timed import Timed
from archsim.functional.run import FunctionalResult
from archsim.traceio.activity import ActivityRecord
from archsim.units import PS_PER_S

Record = dict[str, Any]


def make_record(
    setting: Setting,
    functional: FunctionalResult,
    timed: Timed,
    baseline: Timed,
    baseline_metric: float | None,
) -> Record:
    """Bring all figures of a run into one flat record; `wall_s` is left to the caller."""
    return {
        "network": setting.network.name,
        "trace": setting.trace.name,
        "arch": setting.arch.name,
        "policy": setting.policy.name,
        "threshold": _flat(setting.threshold),
        "precision": setting.precision,
        "detail": setting.detail,
        **_reuse_figures(functional.activity),
        **_machine_figures(timed, baseline, with_memo=setting.machine.fmu is not None),
        **_metric_figures(setting.network.metric, functional.metric_value, baseline_metric),
        "events": timed.run.events,
        "wall_s": None,
        "archsim_version": __version__,
        "digest": setting.digest,
    }


def _flat(threshold: Any) -> float | str | None:
    """A record is flat: thresholds per layer or gate become their JSON text."""
    return json.dumps(threshold) if isinstance(threshold, list) else threshold


def _reuse_figures(activity: ActivityRecord) -> Record:
    total, reused = activity.neurons_total, activity.neurons_reused()
    return {
        "sequences": int(activity.lengths.size),
        "steps": activity.total_steps,
        "neurons_total": total,
        "neurons_reused": reused,
        "reuse_fraction": reused / total,
        "macs_total": activity.macs_total,
        "macs_avoided_fraction": activity.macs_avoided() / activity.macs_total,
    }


def _machine_figures(timed: Timed, baseline: Timed, *, with_memo: bool) -> Record:
    return {
        "cycles": timed.run.cycles,
        "time_s": timed.run.time_ps / PS_PER_S,
        "baseline_cycles": baseline.run.cycles,
        "speedup": baseline.run.cycles / timed.run.cycles,
        "energy_j": timed.energy_j,
        "baseline_energy_j": baseline.energy_j,
        "energy_saving": 1 - timed.energy_j / baseline.energy_j,
        "energy_scratchpad_j": timed.bucket_j("scratchpad"),
        "energy_operations_j": timed.bucket_j("operations"),
        "energy_dram_j": timed.bucket_j("dram"),
        "energy_memo_j": timed.bucket_j("memo") if with_memo else None,
        "energy_static_j": timed.bucket_j("static"),
        "dram_bytes": timed.dram_bytes,
        "area_mm2": sum(timed.areas_mm2.values()),
    }


def _metric_figures(metric: str | None, value: float | None, baseline: float | None) -> Record:
    known = value is not None and baseline is not None
    return {
        "metric": metric if known else None,
        "metric_baseline": baseline,
        "metric_value": value,
        # Accuracy is better when higher: a loss is a fall, in points, without the noise of the subtraction.
        "metric_loss": round(baseline - value, 9) if value is not None and baseline is not None else None,
    }
