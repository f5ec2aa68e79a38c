"""Plan of a sweep: its points, and the tasks that are not in its folder yet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from archsim.activity import pass_shapes
from archsim.errors import UsageError
from archsim.experiment.run_config import RunConfig
from archsim.plugins import loaded_plugins
from archsim.sweeps.cache import baseline_path, pass_path
from archsim.sweeps.choices import Choices
from archsim.sweeps.grid import Grid
from archsim.sweeps.point import check_names, choices_digest, portable, resolve_point
from archsim.sweeps.task import Task, TaskKind
from archsim.traceio.trace import Trace

REPLAY_SHARE = 0.1
"""Time of an event simulation relative to its inference run (scripts/bench.py); for progress bars only."""
SAMPLES_PER_STEP, CHARACTERS_PER_STEP = 80, 5


@dataclass(frozen=True)
class GridPoint:
    """Point of the grid; points of one digest are run once."""

    choices: Choices
    digest: str
    config: RunConfig | None
    """Configuration of the run; None for a point that cannot run."""
    error: str | None = None


def plan_points(grid: Grid) -> list[GridPoint]:
    """Return every point of a grid, resolved; one that cannot run carries its error.

    Raises UsageError for an unknown name, or if no point at all can run.
    """
    choices = grid.points()
    check_names(choices)
    points = [_point(chosen) for chosen in choices]
    if all(point.config is None for point in points):
        raise UsageError(f"none of {len(points)} points can run; the first: {points[0].error}")
    return points


def _point(choices: Choices) -> GridPoint:
    try:
        config = resolve_point(choices)
    except UsageError as error:
        return GridPoint(choices, choices_digest(choices), None, str(error))
    return GridPoint(choices, config.digest, config)


def plan_tasks(points: Iterable[GridPoint], cache: Path) -> list[Task]:
    """Return the tasks of these points, each once, without inference runs and baselines that are in the cache."""
    tasks: dict[str, Task] = {}
    for point in points:
        if point.config is not None:
            for task in _tasks(point.config, point.choices, cache):
                tasks.setdefault(task.name, task)
    # Tasks of one workload run one after the other, so that each finds the workload of the task before in memory.
    first: dict[str, int] = {}
    return sorted(tasks.values(), key=lambda task: first.setdefault(task.workload, len(first)))


def _tasks(config: RunConfig, chosen: Choices, cache: Path) -> Iterator[Task]:
    """Yield the tasks that a point needs, then the task of the point itself."""
    choices, module, heavy = portable(chosen), type(config.policy).__module__, inference_macs(config)
    light, plugins = REPLAY_SHARE * heavy, loaded_plugins()

    def task(kind: TaskKind, digest: str, after: list[Task], weight: float) -> Task:
        after_names = frozenset(one.name for one in after)
        return Task(kind, digest, choices, after_names, weight, module, config.workload_digest, plugins)

    needed: list[Task] = []
    if not pass_path(cache, config.inference_digest).is_file():
        needed.append(task(TaskKind.PASS, config.inference_digest, [], heavy))
    if config.compares and not baseline_path(cache, config.baseline_digest).is_file():
        needed.append(task(TaskKind.BASELINE, config.baseline_digest, needed[:1], light))
    yield from needed
    yield task(TaskKind.POINT, config.digest, needed, light)


def inference_macs(config: RunConfig) -> float:
    """Return about how many multiply-accumulates an inference run takes, from a rough number of steps."""
    per_step = sum(shape.macs_per_step for shape in pass_shapes(config.network))
    return float(per_step * rough_steps(config.trace))


def rough_steps(trace: Trace) -> int:
    """Return the approximate time steps of a trace, estimated from the size of texts and recordings."""
    size = sum(len(sequence) for sequence in trace.sequences)
    return size // {"text": CHARACTERS_PER_STEP, "audio": SAMPLES_PER_STEP}.get(trace.kind, 1) + len(trace)
