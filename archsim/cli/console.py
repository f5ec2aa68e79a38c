"""Tables and progress bars: tables on standard output, progress on standard error."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

DAY_S = 86_400
"""Tasks as old as this still say how fast it goes: single ones may take long."""
PIPE_WIDTH = 160
"""Columns where standard output is no terminal: wide enough that no figure is cut."""


def output_console() -> Console:
    """The console tables are printed on."""
    known_width = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(width=None if known_width else PIPE_WIDTH, highlight=False, markup=False)


@contextmanager
def progress_bars(count: ProgressColumn | None = None) -> Iterator[Callable[[str], Callable[[str, int, int], None]]]:
    """Yield a function that makes, for one run, the callback `simulate` reports its stages to.

    `count` shows how much is done, by default as `3/10`.
    """
    columns = [
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        count or MofNCompleteColumn(),
        TimeRemainingColumn(),
    ]
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:

        def reporter(title: str) -> Callable[[str, int, int], None]:
            tasks: dict[str, TaskID] = {}

            def report(stage: str, done: int, total: int) -> None:
                if stage not in tasks:
                    tasks[stage] = progress.add_task(f"{title}: {stage}", total=total or None)
                progress.advance(tasks[stage], done)

            return report

        yield reporter


@contextmanager
def stage_bars() -> Iterator[Callable[[str, float, str], None]]:
    """Yield a callback for a stage, the share of it that is done, and a few words: a bar a stage.

    Where there is no terminal, as in a batch job, it prints a line each tenth.
    """
    columns = [TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.fields[words]}")]
    console, on_terminal = Console(stderr=True), sys.stderr.isatty()
    tasks: dict[str, TaskID] = {}
    told: dict[str, tuple[int, str]] = {}
    begun: dict[str, float] = {}
    with Progress(
        *columns,
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not on_terminal,
        speed_estimate_period=DAY_S,
    ) as bars:

        def report(stage: str, share: float, words: str) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=1.0, words="")
            bars.update(tasks[stage], completed=share, words=words)
            begun.setdefault(stage, time.monotonic())
            tenth, last = int(10 * share), told.get(stage, (-1, ""))
            if not on_terminal and tenth > last[0] and words != last[1]:
                told[stage] = tenth, words
                left = (time.monotonic() - begun[stage]) * (1 - share) / share if share else None
                rest = f", about {duration(left)} left" if left and left >= 1 else ""
                click.echo(f"{stage}: {words}{rest}", err=True)

        yield report


def duration(seconds: float) -> str:
    """Seconds, minutes or hours, as few digits as say enough."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def theta_text(threshold: Any) -> str:
    """θ as a number, numbers by layer, or numbers by gate with a bar between layers."""
    if not isinstance(threshold, list):
        return f"{threshold:g}"
    between = " | " if any(isinstance(part, list) for part in threshold) else " "
    return between.join(theta_text(part) for part in threshold)


def percent(value: float | None, digits: int = 1) -> str:
    """A share as percent, or a dash where it does not apply."""
    return "–" if value is None else f"{100 * value:.{digits}f} %"
