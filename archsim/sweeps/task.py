"""A unit of work for a worker process: plain data in, plain data out, the same whoever does it."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass
from enum import IntEnum
from importlib import import_module
from pathlib import Path
from typing import Any

from archsim.errors import ArchsimError, ConfigError
from archsim.experiment.record import Record
from archsim.experiment.result import Result
from archsim.experiment.simulate import run_stages
from archsim.experiment.timed import Timed
from archsim.experiment.utilisation import utilisation
from archsim.sweeps.cache import CachedStages
from archsim.sweeps.choices import Choices
from archsim.sweeps.point import resolve_point

Row = dict[str, Any]
MAIN = "__main__"


class Kind(IntEnum):
    """What a task makes; what stands first is due first, so that points are finished early."""

    POINT = 0
    BASELINE = 1
    PASS = 2


@dataclass(frozen=True)
class Task:
    """One thing to make, on behalf of the point that first asks for it."""

    kind: Kind
    digest: str
    """Of what is made."""
    choices: Choices
    after: frozenset[str]
    """Names of the tasks it needs."""
    weight: float
    """How long it takes, next to other tasks."""
    module: str = MAIN
    """Where the point's policy is defined, for who has not imported it."""
    workload: str = ""
    """Digest of its network, trace and precision."""

    @property
    def name(self) -> str:
        """The kind and the digest."""
        return f"{self.kind.name} {self.digest}"


@dataclass(frozen=True)
class Outcome:
    """What a point's run came to."""

    record: Record
    energy: list[Row]
    """side (policy or baseline), component, action, bucket, count, pj_each, joules."""
    utilisation: list[Row]
    """side, unit, state, share of the run's time."""


@dataclass(frozen=True)
class Done:
    """The end of a task."""

    seconds: float
    outcome: Outcome | None = None
    """Of a point that ran."""
    error: str | None = None


def work(task: Task, cache: str, threads: int) -> Done:
    """Do a task; passes and baselines are left in the folder `cache`, a point's figures are returned."""
    started = time.perf_counter()
    try:
        outcome = _make(task, Path(cache), threads)
    except ArchsimError as error:
        return Done(time.perf_counter() - started, error=str(error))
    except Exception as error:  # whatever it is, the sweep goes on
        return Done(time.perf_counter() - started, error=f"{type(error).__name__}: {error}")
    return Done(time.perf_counter() - started, outcome)


def _make(task: Task, cache: Path, threads: int) -> Outcome | None:
    if task.module != MAIN:
        import_module(task.module)  # registers the policy
    setting = resolve_point(task.choices)
    stages = CachedStages(setting, cache, threads=threads)
    made = {
        Kind.PASS: setting.functional_digest,
        Kind.BASELINE: setting.baseline_digest,
        Kind.POINT: setting.digest,
    }
    if task.digest != made[task.kind]:
        where = f"process {os.getpid()} in {Path.cwd()}"
        raise ConfigError(f"{where} sees another archsim, network, trace or machine than the driver of the sweep")
    match task.kind:
        case Kind.PASS:
            stages.functional()
        case Kind.BASELINE:
            stages.baseline(stages.functional())
        case Kind.POINT:
            return outcome_of(run_stages(stages))
    return None


def outcome_of(result: Result) -> Outcome:
    """Plain figures of a result, policy and baseline side by side."""
    sides = {"policy": result.timed, "baseline": result.baseline.timed}
    energy = [{"side": side} | asdict(row) for side, timed in sides.items() for row in timed.energy]
    uses = [{"side": side} | row for side, timed in sides.items() for row in _uses(timed)]
    return Outcome(result.record, energy, uses)


def _uses(timed: Timed) -> list[Row]:
    return [
        {"unit": use.unit, "state": state, "share": share}
        for use in utilisation(timed)
        for state, share in (("busy", use.busy), *use.waits.items(), ("idle", use.idle))
    ]
