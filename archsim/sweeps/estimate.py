"""About how long a sweep takes, from a measured sample of each network, and how much disk its cache takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from archsim.activity import pass_shapes
from archsim.experiment.run_config import RunConfig
from archsim.experiment.stages import Stages
from archsim.inference.run import kind_of
from archsim.inference.workload import CACHE_BYTES, Workload
from archsim.sweeps.plan import functional_weight, rough_steps
from archsim.sweeps.point import resolve_point
from archsim.sweeps.task import Kind, Task

SAMPLE_STEPS = 300


@dataclass(frozen=True)
class Estimate:
    """What is left to do."""

    points: int
    passes: int
    baselines: int
    process_s: float
    """For one process with one core."""
    cache_bytes: int


@dataclass(frozen=True)
class _Rate:
    """Seconds a unit of weight."""

    functional: float
    replay: float


def estimate(tasks: list[Task]) -> Estimate:
    """Time a few sequences of each network, detail and policy that the tasks name, and scale up."""
    rates: dict[tuple[str | None, ...], _Rate] = {}
    sizes: dict[tuple[str, str | None], tuple[float, int]] = {}
    seconds, n_bytes = 0.0, 0
    for task in tasks:  # of many tasks few differ in what is asked of their settings
        network, detail, policy = (task.choices.get(key) for key in ("network", "detail", "policy"))
        if (network, detail, policy) not in rates:
            rates[network, detail, policy] = _measured(resolve_point(task.choices))
        if (task.workload, policy) not in sizes:
            setting = resolve_point(task.choices)
            sizes[task.workload, policy] = functional_weight(setting), _pass_bytes(setting)
        rate, (weight, pass_bytes) = rates[network, detail, policy], sizes[task.workload, policy]
        seconds += weight * (rate.functional if task.kind is Kind.PASS else rate.replay)
        n_bytes += pass_bytes if task.kind is Kind.PASS else 0
    n = {kind: sum(task.kind is kind for task in tasks) for kind in Kind}
    return Estimate(n[Kind.POINT], n[Kind.PASS], n[Kind.BASELINE], seconds, n_bytes)


def _measured(setting: RunConfig) -> _Rate:
    few = 1
    while few < len(setting.trace) and rough_steps(setting.trace.limit(few)) < SAMPLE_STEPS:
        few += 1
    sample = replace(setting, trace=setting.trace.limit(few))
    # As in a sweep, where all thresholds but the first find what there is without reuse.
    workload = Workload(sample.network, sample.trace, precision=sample.precision, cache_bytes=CACHE_BYTES)
    stages, weight = Stages(sample, threads=1, workload=workload), functional_weight(sample)
    activity = stages.functional().activity
    functional_s = _seconds(stages.functional)
    stages.replay(activity, sample.machine, "")
    return _Rate(functional_s / weight, _seconds(lambda: stages.replay(activity, sample.machine, "")) / weight)


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _pass_bytes(setting: RunConfig) -> int:
    kind = kind_of(setting.policy)
    return rough_steps(setting.trace) * sum(shape.bytes_per_step(kind) for shape in pass_shapes(setting.network))
