"""Task of a worker process: plain data in, plain data out, the same on any worker."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass, replace
from enum import IntEnum
from importlib import import_module
from pathlib import Path
from typing import Any

from archsim.errors import ArchsimError, ConfigError
from archsim.experiment.record import Record
from archsim.experiment.result import Result
from archsim.experiment.simulate import run_stages
from archsim.experiment.simulated_run import SimulatedRun
from archsim.experiment.utilisation import unit_uses
from archsim.plugins import Plugin, load_same_plugins, users_line
from archsim.sweeps.cache import CachedStages
from archsim.sweeps.choices import Choices
from archsim.sweeps.point import resolve_point

Row = dict[str, Any]
MAIN = "__main__"


class TaskKind(IntEnum):
    """Product of a task, in order of priority, so that points are finished early."""

    POINT = 0
    BASELINE = 1
    PASS = 2


@dataclass(frozen=True)
class Task:
    """Task to make one product, for the point that first needs it."""

    kind: TaskKind
    digest: str
    """Digest of the product."""
    choices: Choices
    after: frozenset[str]
    """Names of the tasks it needs."""
    weight: float
    """Duration relative to other tasks, in multiply-accumulates."""
    module: str = MAIN
    """Module that defines the point's policy, which a worker imports."""
    workload: str = ""
    """Digest of the network, trace and precision."""
    plugins: tuple[Plugin, ...] = ()
    """Plug-in files that a worker runs first."""

    @property
    def name(self) -> str:
        """Kind and digest, unique within a sweep."""
        return f"{self.kind.name} {self.digest}"


@dataclass(frozen=True)
class Outcome:
    """Figures of a point's run."""

    record: Record
    energy: list[Row]
    """Rows of side (policy or baseline), component, action, bucket, count, pj_each, joules."""
    utilisation: list[Row]
    """Rows of side, unit, state, share of the run's time."""


@dataclass(frozen=True)
class Done:
    """End of a task: an outcome, an error, or neither for a task that is not a point."""

    seconds: float
    outcome: Outcome | None = None
    """Figures of a point that ran."""
    error: str | None = None
    hindered: bool = False
    """Whether the error is one of the machine it ran on (a full disk, no memory), which says nothing of the point."""
    notes: tuple[str, ...] = ()
    """Further messages for the user, such as on damaged files of the cache."""


def work(task: Task, cache: str, threads: int) -> Done:
    """Run a task; inference runs and baselines go to the folder `cache`, a point's figures are returned."""
    started = time.perf_counter()
    try:
        stages = _stages(task, Path(cache), threads)
    except Exception as error:  # the driver could resolve the point, so this process is at fault
        return hindrance(error, time.perf_counter() - started)
    outcome, failure = None, None
    try:
        outcome = _make(task, stages)
    except (OSError, MemoryError) as hindered:
        return replace(hindrance(hindered, time.perf_counter() - started), notes=tuple(stages.notes))
    except Exception as error:  # any failure of a point is a result, and the sweep goes on
        failure = message_of(error)
    return Done(time.perf_counter() - started, outcome, failure, notes=tuple(stages.notes))


def hindrance(error: BaseException, seconds: float = 0.0) -> Done:
    """Return the end of a task that could not be done where it was tried."""
    return Done(seconds, error=message_of(error), hindered=True)


def message_of(error: BaseException) -> str:
    """Return the text of an error, with its type and its line in users' code if archsim did not raise it."""
    if isinstance(error, ArchsimError):
        return str(error)
    place = users_line(error)
    return f"{f'{place}: ' if place else ''}{type(error).__name__}: {error}"


def _stages(task: Task, cache: Path, threads: int) -> CachedStages:
    """Return the stages of a task's point; raise ConfigError if this process resolves it to another digest."""
    load_same_plugins(task.plugins)
    if task.module != MAIN:
        import_module(task.module)  # registers the policy
    config = resolve_point(task.choices)
    digests = {
        TaskKind.PASS: config.inference_digest,
        TaskKind.BASELINE: config.baseline_digest,
        TaskKind.POINT: config.digest,
    }
    if task.digest != digests[task.kind]:
        where = f"process {os.getpid()} in {Path.cwd()}"
        raise ConfigError(f"{where} sees another archsim, network, trace or machine than the driver of the sweep")
    return CachedStages(config, cache, threads=threads)


def _make(task: Task, stages: CachedStages) -> Outcome | None:
    match task.kind:
        case TaskKind.PASS:
            stages.inference()
        case TaskKind.BASELINE:
            stages.baseline(stages.inference())
        case TaskKind.POINT:
            return outcome_of(run_stages(stages))
    return None


def outcome_of(result: Result) -> Outcome:
    """Return the figures of a result as plain data, policy and baseline side by side."""
    sides = {"policy": result.simulated, "baseline": result.baseline.simulated}
    energy = [{"side": side} | asdict(row) for side, simulated in sides.items() for row in simulated.energy]
    uses = [{"side": side} | row for side, simulated in sides.items() for row in _uses(simulated)]
    return Outcome(result.record, energy, uses)


def _uses(simulated: SimulatedRun) -> list[Row]:
    return [
        {"unit": use.unit, "state": state, "share": share}
        for use in unit_uses(simulated)
        for state, share in (("busy", use.busy), *use.waits.items(), ("idle", use.idle))
    ]
