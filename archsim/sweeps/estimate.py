"""Estimate of a sweep: its time, from a measured sample of each network, and the size of its cache."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from archsim.activity import pass_shapes
from archsim.experiment.run_config import RunConfig
from archsim.experiment.stages import Stages
from archsim.inference.workload import CACHE_BYTES, Workload
from archsim.policies import kind_of
from archsim.sweeps.plan import inference_macs, rough_steps
from archsim.sweeps.point import resolve_point
from archsim.sweeps.task import Task, TaskKind

SAMPLE_STEPS = 300
"""Time steps that are measured, at least."""


@dataclass(frozen=True)
class Estimate:
    """Work that is left: number of points, inference runs and baselines, with their time and cache."""

    points: int
    passes: int
    baselines: int
    process_s: float
    """Seconds for one process with one core."""
    cache_bytes: int


@dataclass(frozen=True)
class _Rate:
    """Seconds per multiply-accumulate of the inference run."""

    inference: float
    replay: float


def estimate_sweep(tasks: list[Task]) -> Estimate:
    """Time a few sequences per network, detail and policy of the tasks; return the total, scaled by their weights."""
    rates: dict[tuple[str | None, ...], _Rate] = {}
    sizes: dict[tuple[str, str | None], tuple[float, int]] = {}
    seconds, n_bytes = 0.0, 0
    for task in tasks:  # many tasks share their rates and sizes, which are slow to find
        network, detail, policy = (task.choices.get(key) for key in ("network", "detail", "policy"))
        if (network, detail, policy) not in rates:
            rates[network, detail, policy] = _measured(resolve_point(task.choices))
        if (task.workload, policy) not in sizes:
            config = resolve_point(task.choices)
            sizes[task.workload, policy] = inference_macs(config), _pass_bytes(config)
        rate, (weight, pass_bytes) = rates[network, detail, policy], sizes[task.workload, policy]
        seconds += weight * (rate.inference if task.kind is TaskKind.PASS else rate.replay)
        n_bytes += pass_bytes if task.kind is TaskKind.PASS else 0
    n = {kind: sum(task.kind is kind for task in tasks) for kind in TaskKind}
    return Estimate(n[TaskKind.POINT], n[TaskKind.PASS], n[TaskKind.BASELINE], seconds, n_bytes)


def _measured(config: RunConfig) -> _Rate:
    few = 1
    while few < len(config.trace) and rough_steps(config.trace.limit(few)) < SAMPLE_STEPS:
        few += 1
    sample = replace(config, trace=config.trace.limit(few))
    # The second run is timed: in a sweep, all thresholds but the first find the run without reuse in the workload.
    workload = Workload(sample.network, sample.trace, precision=sample.precision, cache_bytes=CACHE_BYTES)
    stages, weight = Stages(sample, threads=1, workload=workload), inference_macs(sample)
    activity = stages.inference().activity
    inference_s = _seconds(stages.inference)
    stages.replay(activity, sample.policy_arch, "")
    return _Rate(inference_s / weight, _seconds(lambda: stages.replay(activity, sample.policy_arch, "")) / weight)


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _pass_bytes(config: RunConfig) -> int:
    kind = kind_of(config.policy).decides
    return rough_steps(config.trace) * sum(shape.bytes_per_step(kind) for shape in pass_shapes(config.network))
