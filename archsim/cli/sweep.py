"""Command `archsim sweep`, which runs a grid of points, here or on a cluster, and can be resumed."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from archsim.cli.options import NamedPath, plugin_option

if TYPE_CHECKING:
    from rich.table import Table

    from archsim.sweeps.plan import GridPoint
    from archsim.sweeps.run import SweepProgress

SHOWN_POINTS = 40
SHORT_S = 10
"""Seconds of work below which no estimate is shown, because starting processes takes as long."""


@click.command()
@click.argument("grid", type=NamedPath())
@click.option("--output", "-o", type=NamedPath(), required=True, help="Folder of the results.")
@click.option("--jobs", "-j", type=int, help="Processes.  [default: one per core]")
@click.option(
    "--dask",
    metavar="ADDRESS",
    help="Scheduler of a Dask cluster, tcp://HOST:PORT; or `local`. Needs the extra `distributed`, and a network "
    "where everybody is trusted, because whoever reaches the scheduler or a worker can run code on it.",
)
@click.option("--retry", is_flag=True, help="Run failed points again as well.")
@click.option("--dry-run", is_flag=True, help="Print the points and an estimate of the time, and write nothing.")
@plugin_option
def sweep(grid: Path, output: Path, jobs: int | None, dask: str | None, retry: bool, dry_run: bool) -> int:
    """Run every point of a grid that the output folder does not hold yet.

    Points that differ only in the machine share one inference run. It may be interrupted; run it again to continue.
    Results: results.csv and .parquet (one row per point), and energy and utilisation by point.

    \b
    archsim sweep fmu.toml -o fmu --dry-run
    archsim sweep fmu.toml -o fmu
    archsim sweep fmu.toml -o fmu --dask tcp://10.0.0.1:8786
    archsim report fmu

    \b
    A grid:
        [axes]                              # all combinations
        network = ["imdb-lstm", "ds2-gru"]
        policy = ["bnn", "oracle"]
        threshold = {from = 0.1, to = 0.5, step = 0.1}
        "arch.fmu.latency_cycles" = [3, 5, 8]
        [fixed]
        limit = 20
    """
    from archsim.cli.console import say, stage_bars
    from archsim.sweeps.run import run_sweep

    if dry_run:
        _dry_run(grid, output, jobs, retry)
        return 0
    command, counts = shlex.join(["archsim", *sys.argv[1:]]), "no points"
    with stage_bars() as report:

        def on_progress(progress: SweepProgress) -> None:
            nonlocal counts
            failed = f", {progress.failed} failed" if progress.failed else ""
            counts = f"{progress.finished}/{progress.points} points"
            report("sweep", progress.share, f"{counts}{failed}")

        if dask not in (None, "local"):
            say(f"waiting for the scheduler and a worker at {dask}", err=True)
        try:
            result = run_sweep(
                grid, output, jobs=jobs, dask=dask, retry=retry, on_progress=on_progress, command=command
            )
        except KeyboardInterrupt:
            say(f"{counts} are saved in {output}; run the same command again to continue", err=True)
            raise
    failed = result.failed
    for point, error in failed[["point", "error"]].itertuples(index=False):
        say(f"point {point} failed: {error}")
    say(f"{len(result.results)} of {result.n_points} points in {output / 'results.csv'}, {len(failed)} failed")
    say(f"show them with: {shlex.join(['archsim', 'report', str(output)])}")
    return 1 if len(failed) else 0


def _dry_run(grid: Path, output: Path, jobs: int | None, retry: bool) -> None:
    from archsim.cli.console import duration, output_console
    from archsim.cores import cores
    from archsim.sweeps.estimate import estimate_sweep
    from archsim.sweeps.grid import load_grid
    from archsim.sweeps.pools import check_jobs
    from archsim.sweeps.run import left_to_do

    check_jobs(jobs)
    points, tasks = left_to_do(load_grid(grid)[0], output, retry)
    console, left, processes = output_console(), estimate_sweep(tasks), jobs or cores()
    console.show(_points_table(points))
    invalid = sum(point.config is None for point in points)
    done = len(points) - invalid - left.points
    console.print(
        f"{len(points)} points: {left.points} to run, {done} finished or equal to another, {invalid} cannot run"
    )
    console.print(f"{left.passes} inference runs, {left.baselines} baselines, {left.cache_bytes / 1e6:.0f} MB of cache")
    work_s = left.process_s / processes
    about = f"about {duration(work_s)}" if work_s > SHORT_S else "a few seconds"
    console.print(f"{about} with {processes} processes")


def _points_table(points: list[GridPoint]) -> Table:
    from rich import box
    from rich.table import Table

    columns = list(dict.fromkeys(key for point in points for key in point.choices))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("point", *columns, ""):
        table.add_column(column, overflow="fold")
    for i, point in enumerate(points):
        if i < SHOWN_POINTS or point.error:
            cells = [str(point.choices.get(column, "")) for column in columns]
            table.add_row(str(i), *cells, f"cannot run: {point.error}" if point.error else "")
    if len(points) > SHOWN_POINTS:
        table.caption = f"the first {SHOWN_POINTS} of {len(points)}, and those that cannot run"
    return table
