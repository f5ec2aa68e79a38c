"""Measure the speed of archsim, as ratios of times within one run, beside their targets.

python scripts/bench.py --json bench.json
python scripts/bench.py --only events --only sharing
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import click
import numba
import numpy as np
import simpy
import torch
from benching.against_torch import against_torch
from benching.events import events
from benching.figures import Figure
from benching.growth import growth
from benching.memory import memory
from benching.sharing import sharing
from benching.startup import startup
from rich.console import Console
from rich.table import Table

import archsim
from archsim.cli.exit import exit_code
from archsim.files import write_whole

QUESTIONS: dict[str, Callable[[], Iterator[Figure]]] = {
    "torch": against_torch,
    "events": events,
    "sharing": sharing,
    "memory": memory,
    "growth": growth,
    "startup": startup,
}
WIDTH = 120
MODULES = (numba, np, simpy, torch)


@click.command(
    help=__doc__, epilog="It takes about four minutes on two cores. Other work on the machine affects the figures."
)
@click.option("--only", multiple=True, type=click.Choice(list(QUESTIONS)), help="Only this question; may be repeated.")
@click.option("--json", "path", type=click.Path(path_type=Path), help="Also write the figures to a file.")
def main(only: tuple[str, ...], path: Path | None) -> None:
    """Measure, print a table, and write the figures as JSON if asked for."""
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    table = Table("", "figure", "value", "target", "", title=f"archsim {archsim.__version__}")
    for column in table.columns[2:4]:
        column.justify, column.no_wrap = "right", True
    figures: list[Figure] = []
    with console.status("measuring") as status:
        for question in only or QUESTIONS:
            status.update(f"measuring: {question}")
            figures.extend(QUESTIONS[question]())
    for figure in figures:
        table.add_row(*_cells(figure))
    console.print(table)
    console.print(", ".join(f"{key} {value}" for key, value in machine().items()))
    if path:
        with write_whole(path) as temporary:
            document = {"machine": machine(), "figures": [asdict(f) | {"holds": f.holds} for f in figures]}
            temporary.write_text(json.dumps(document, indent=2) + "\n")


def _cells(figure: Figure) -> tuple[str, ...]:
    sign, target = ">=" if figure.at_least else "<=", figure.target
    verdict = {True: "[green]holds[/]", False: "[red]does not hold[/]", None: ""}[figure.holds]
    limit = "" if target is None else f"{sign} {target:g}"
    return figure.question, figure.name, f"{figure.value:.2f} {figure.unit}".rstrip(), limit, verdict


def machine() -> dict[str, str]:
    """Return the processor, its cores, and the versions of Python and the libraries in use."""
    names = [line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith("model name")]
    versions = {module.__name__: module.__version__ for module in MODULES}
    processor = names[0] if names else platform.processor()
    return {"processor": processor, "cores": str(os.cpu_count()), "python": platform.python_version(), **versions}


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.is_file() else []


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(standalone_mode=False), "bench"))
