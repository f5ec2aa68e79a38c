"""Tables and progress bars: tables on standard output, progress on standard error."""

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

DAY_S = 86_400
"""Tasks as old as this still say how fast it goes: single ones may take long."""
PIPE_WIDTH = 160
"""Columns where standard output is no terminal: wide enough that no figure is cut."""
_FIGURE = re.compile(r"[±+−-]?\d[\d.,]*(e[+-]?\d+)?[%x*]*(±\d[\d.,]*)?")


class PlainConsole(Console):
    """A console that prints texts as they are: no markup, no emoji, no control characters; figures are never cut."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Make a Text, as rich does of every string it is given, of what may be shown."""
        return super().render_str(plain_lines(text), **options)

    def show(self, table: Table) -> None:
        """Print a table; where it is too wide for the terminal to show each figure whole, a line per cell."""
        if _figures(self._rendered(table)) >= _figures(_texts(table)):
            self.print(table)
        else:
            for line in _by_cell(table):
                self.print(line)

    def _rendered(self, table: Table) -> str:
        lines = self.render_lines(table, pad=False)
        return "\n".join("".join(segment.text for segment in line) for line in lines)


def output_console() -> PlainConsole:
    """The console tables are printed on."""
    known_width = sys.stdout.isatty() or "COLUMNS" in os.environ
    return PlainConsole(width=None if known_width else PIPE_WIDTH)


def say(text: str, *, err: bool = False) -> None:
    """Print a text on lines of its own, whatever names are in it; an error that nobody can hear is no other error."""
    with suppress(OSError) if err else nullcontext():
        click.echo(plain_lines(text), err=err)


def _figures(text: str) -> Counter[str]:
    """Return the numbers in a text, with their signs and units, and how often each is there."""
    return Counter(word for word in text.split() if _FIGURE.fullmatch(word))


def _texts(table: Table) -> str:
    return "\n".join(str(cell) for column in table.columns for cell in column.cells)


def _by_cell(table: Table) -> Iterator[str]:
    """Yield a table as lines `head: cell`, a blank line after each row."""
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
                    tasks[stage] = progress.add_task(one_line(f"{title}: {stage}"), total=total or None)
                progress.advance(tasks[stage], done)

            return report

        yield reporter


@contextmanager
def stage_bars() -> Iterator[Callable[[str, float, str], None]]:
    """Yield a callback for a stage, the share of it that is done, and a few words: a bar a stage.

    Where there is no terminal, as in a batch job, it prints a line each tenth.
    """
    columns = [
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[words]}", markup=False),
    ]
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
            stage, words = one_line(stage), one_line(words)
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=1.0, words="")
            bars.update(tasks[stage], completed=share, words=words)
            begun.setdefault(stage, time.monotonic())
            tenth, last = int(10 * share), told.get(stage, (-1, ""))
            if not on_terminal and tenth > last[0] and words != last[1]:
                told[stage] = tenth, words
                left = (time.monotonic() - begun[stage]) * (1 - share) / share if share else None
                rest = f", about {duration(left)} left" if left and left >= 1 else ""
                say(f"{stage}: {words}{rest}", err=True)

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
