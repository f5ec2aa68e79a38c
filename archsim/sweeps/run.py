"""Run of a sweep from its grid to its tables; a second run does only what is left."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archsim.errors import ArchsimError, RunFailedError
from archsim.files import check_writable, make_folder, remove_unfinished
from archsim.policies import Policy
from archsim.reading import is_file
from archsim.sweeps.driver import Driver
from archsim.sweeps.frames import EXPORTED, SweepResults, export
from archsim.sweeps.grid import Grid, load_grid
from archsim.sweeps.plan import GridPoint, plan_points, plan_tasks
from archsim.sweeps.pools import Pool, pool_for
from archsim.sweeps.store import DATABASE, LOG, Store, only_driver, open_store, provenance
from archsim.sweeps.task import MAIN, Done, Task, TaskKind

CACHE = "cache"
"""Folder of inference runs and baselines, in the sweep's folder."""


@dataclass
class SweepProgress:
    """Progress of a sweep."""

    points: int
    """Number of different points of the grid."""
    finished: int
    """Number of finished points, failed ones included."""
    failed: int
    """Number of failed points."""
    weight: float
    """Work of all tasks when the driver began, in multiply-accumulates."""
    done: float = 0.0
    """Work of the finished tasks."""

    @property
    def share(self) -> float:
        """Share of the work that is done, 0 to 1."""
        return self.done / self.weight if self.weight else 1.0


SweepCallback = Callable[[SweepProgress], None]
"""Called after each finished task of a sweep."""
StageCallback = Callable[[str, float, str], None]
"""Called with the name of a stage, the share of it that is done (0 to 1), and a few words."""


def run_sweep(
    grid: str | Path | Mapping[str, Any],
    folder: str | Path,
    *,
    jobs: int | None = None,
    dask: str | None = None,
    retry: bool = False,
    on_progress: SweepCallback = lambda progress: None,
    command: str = "archsim.run_sweep",
) -> SweepResults:
    """Run every point of a grid (a TOML file, or its tables) that `folder` does not hold yet; return all results.

    jobs: number of processes, by default one per core. dask: address of a scheduler, or `local`, instead of jobs.
    The results are the same bytes for any number and kind of workers. retry: also run failed points again.
    on_progress: called after each finished task.
    Raises UsageError for a grid that cannot run, before anything is written; a point that fails is a result.
    Raises RunFailedError if the machine could not do some of the points (a full disk, no memory); they are left to do.
    """
    parsed, text = load_grid(grid)
    points = plan_points(parsed)
    policies = [point.config.policy for point in points if point.config]
    with pool_for(jobs, dask, needs_main=defined_in_main(policies)) as pool:
        return run_points(points, text, folder, pool, retry=retry, on_progress=on_progress, command=command)


def run_points(
    points: list[GridPoint],
    grid: str,
    folder: str | Path,
    pool: Pool,
    *,
    retry: bool = False,
    on_progress: SweepCallback = lambda progress: None,
    command: str,
) -> SweepResults:
    """Run the points of a grid, given with its text, on an existing pool; otherwise as `run_sweep`."""
    folder = Path(folder)
    make_sweep_folders(folder)
    with only_driver(folder), closing(Store(folder)) as store:
        store.begin(points, provenance(command, grid, points))
        try:
            _finish(points, store, pool, retry, on_progress)
        except BaseException:  # also an interrupt: the cause is raised, even if the tables cannot be written either
            with suppress(ArchsimError):
                export(store, folder)
            raise
        return export(store, folder)


def defined_in_main(policies: Iterable[Policy]) -> bool:
    """Return whether workers must import the driver's main module to know these policies."""
    return any(type(policy).__module__ == MAIN for policy in policies)


def left_to_do(grid: Grid, folder: Path, retry: bool = False) -> tuple[list[GridPoint], list[Task]]:
    """Return the points of a grid, and the tasks that are left of it in a folder that need not exist."""
    points = plan_points(grid)
    finished: dict[str, str | None] = {}
    if is_file(folder / DATABASE):
        with closing(open_store(folder)) as store:
            finished = store.finished()
    return points, plan_tasks(_unfinished(points, finished, retry), folder / CACHE)


def _finish(points: list[GridPoint], store: Store, pool: Pool, retry: bool, on_progress: SweepCallback) -> None:
    finished, cache = store.finished(), store.folder / CACHE
    remove_unfinished(store.folder, cache)
    tasks = plan_tasks(_unfinished(points, finished, retry), cache)
    # Points that share a digest are one point here, so that progress counts each piece of work once.
    due = {task.digest for task in tasks if task.kind is TaskKind.POINT}
    errors = {point.digest: finished.get(point.digest) for point in points if point.digest not in due}
    progress = SweepProgress(
        points=len({point.digest for point in points}),
        finished=len(errors),
        failed=sum(error is not None for error in errors.values()),
        weight=math.fsum(task.weight for task in tasks),
    )
    on_progress(progress)
    warned: set[str] = set()
    hindered: list[str] = []

    def keep(task: Task, done: Done) -> None:
        progress.done += task.weight
        for note in done.notes:
            if note not in warned:
                warned.add(note)
                LOG.warning("%s", note)
        if task.kind is TaskKind.POINT and done.hindered:
            hindered.append(done.error or "")
        elif task.kind is TaskKind.POINT:
            store.put({task.digest: done})
            progress.finished += 1
            progress.failed += done.error is not None
        on_progress(progress)

    Driver(tasks, pool, str(cache.resolve()), keep).run()
    if hindered:
        left = f"{len(hindered)} of {progress.points} points could not be run here, and are left to do"
        raise RunFailedError(
            f"{left}: {hindered[0]}; finished points are kept: remove the cause, and run it again to go on"
        )


def make_sweep_folders(folder: Path) -> None:
    """Make the folders of a sweep; raise UsageError, before any work, if its files could not be written."""
    for made in (folder, folder / CACHE):
        make_folder(made)
    for name in EXPORTED:
        check_writable(folder / name)


def _unfinished(points: list[GridPoint], finished: Mapping[str, str | None], retry: bool) -> list[GridPoint]:
    """Return the points without an outcome, and with `retry` also those that failed."""
    return [p for p in points if p.digest not in finished or (retry and finished[p.digest] is not None)]
