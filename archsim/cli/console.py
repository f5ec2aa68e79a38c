"""Console output of the commands: tables on standard output, progress bars on standard error."""

from __future__ import annotations

import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
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
from rich.table import Table
from rich.text import Text

from archsim.escaping import one_line, plain_lines

SPEED_PERIOD_S = 86_400
"""Seconds of progress from which the remaining time is estimated; long, because single tasks may take hours."""
PIPE_WIDTH = 160
"""Characters per line if standard output is no terminal, wide enough that no number is cut."""
_NUMBER = re.compile(r"[±+−-]?\d[\d.,]*(e[+-]?\d+)?[%x*]*(±\d[\d.,]*)?")


class PlainConsole(Console):
    """Console that prints texts without markup, emoji or control characters, and never cuts a number."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return the Text that rich makes of a string, with control characters escaped."""
        return super().render_str(plain_lines(text), **options)

    def show(self, table: Table) -> None:
        """Print a table, or one line per cell if the terminal is too narrow to show each number completely."""
        if _numbers(self._rendered(table)) >= _numbers(_texts(table)):
            self.print(table)
        else:
            for line in _by_cell(table):
                self.print(line)

    def _rendered(self, table: Table) -> str:
        lines = self.render_lines(table, pad=False)
        return "\n".join("".join(segment.text for segment in line) for line in lines)


def output_console() -> PlainConsole:
    """Return the console on which tables are printed."""
    known_width = sys.stdout.isatty() or "COLUMNS" in os.environ
    return PlainConsole(width=None if known_width else PIPE_WIDTH)


def say(text: str, *, err: bool = False) -> None:
    """Print a text with control characters escaped. Ignore that standard error is closed, to keep the first error."""
    with suppress(OSError) if err else nullcontext():
        click.echo(plain_lines(text), err=err)


def _numbers(text: str) -> Counter[str]:
    """Return the numbers in a text, with sign and unit, and how often each occurs."""
    return Counter(word for word in text.split() if _NUMBER.fullmatch(word))


def _texts(table: Table) -> str:
    return "\n".join(str(cell) for column in table.columns for cell in column.cells)


def _by_cell(table: Table) -> Iterator[str]:
    """Yield a table as lines `head: cell`, with a blank line before each row."""
    heads = [" ".join(str(column.header).split()) for column in table.columns]
    if table.title:
        yield str(table.title)
    for row in zip(*(column.cells for column in table.columns), strict=True):
        cells = [" ".join(str(cell).split()) for cell in row]
        yield ""
        yield from (f"{head}: {cell}" if head else cell for head, cell in zip(heads, cells, strict=True) if cell)
    if table.caption:
        yield f"\n{table.caption}"


@contextmanager
def progress_bars(count: ProgressColumn | None = None) -> Iterator[Callable[[str], Callable[[str, int, int], None]]]:
    """Yield a function that takes the title of a run and returns the progress callback for `simulate`.

    `count` is the column that shows the amount done, by default as `3/10`.
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
                    tasks[stage] = progress.add_task(one_line(f"{title}: {stage}"), total=total or None)
                progress.advance(tasks[stage], done)

            return report

        yield reporter


@contextmanager
def stage_bars() -> Iterator[Callable[[str, float, str], None]]:
    """Yield a callback that takes a stage, the share of it that is done, and a few words, and draws one bar per stage.

    Without a terminal, as in a batch job, it prints one line per tenth.
    """
    columns = [
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[words]}", markup=False),
    ]
    console, on_terminal = Console(stderr=True), sys.stderr.isatty()
    tasks: dict[str, TaskID] = {}
    printed: dict[str, tuple[int, str]] = {}
    started: dict[str, float] = {}
    with Progress(
        *columns,
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not on_terminal,
        speed_estimate_period=SPEED_PERIOD_S,
    ) as bars:

        def report(stage: str, share: float, words: str) -> None:
            stage, words = one_line(stage), one_line(words)
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=1.0, words="")
            bars.update(tasks[stage], completed=share, words=words)
            started.setdefault(stage, time.monotonic())
            tenth, last = int(10 * share), printed.get(stage, (-1, ""))
            if not on_terminal and tenth > last[0] and words != last[1]:
                printed[stage] = tenth, words
                left = (time.monotonic() - started[stage]) * (1 - share) / share if share else None
                rest = f", about {duration(left)} left" if left and left >= 1 else ""
                say(f"{stage}: {words}{rest}", err=True)

        yield report


def duration(seconds: float) -> str:
    """Return a time in seconds, minutes or hours with few digits."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def theta_text(threshold: Any) -> str:
    """Return θ as one number, numbers by layer, or numbers by gate with a bar between layers."""
    if not isinstance(threshold, list):
        return f"{threshold:g}"
    between = " | " if any(isinstance(part, list) for part in threshold) else " "
    return between.join(theta_text(part) for part in threshold)


def percent(value: float | None, digits: int = 1) -> str:
    """Return a share in percent, or a dash for None."""
    return "–" if value is None else f"{100 * value:.{digits}f} %"
