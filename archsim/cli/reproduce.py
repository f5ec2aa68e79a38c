"""`archsim reproduce`: every table and figure of the paper."""

from __future__ import annotations

from pathlib import Path

import click

from archsim.cli.options import NamedPath


@click.command()
@click.option(
    "--output",
    "-o",
    type=NamedPath(),
    default=Path("reproduction"),
    show_default=True,
    help="Folder of results and page.",
)
@click.option("--quick", is_flag=True, help="Short bundled traces only: minutes instead of an hour.")
@click.option("--jobs", "-j", type=int, help="Processes.  [default: one a core]")
def reproduce(output: Path, quick: bool, jobs: int | None) -> int:
    """Make every table and figure of the paper from the bundled networks, on one page.

    On the bundled traces and, where $ARCHSIM_DATA names a folder of corpora, on the real test sets. Interrupt it as
    you like: run it again, and it does what is left.

    \b
    archsim reproduce --quick
    ARCHSIM_DATA=~/corpora archsim reproduce -o paper
    """
    from archsim.cli.console import output_console, say, stage_bars
    from archsim.cli.result_tables import summary_table
    from archsim.reproduce.run import reproduce as make

    with stage_bars() as on_progress:
        found = make(output, quick=quick, jobs=jobs, on_progress=on_progress)
    console = output_console()
    for findings in found:
        console.show(summary_table(findings.records(), with_paper=True))
    say(f"all figures and tables: {output / 'report.html'}")
    failed = sum(len(sweep.failed) for findings in found for sweep in findings.failed)
    if failed:
        say(f"{failed} points failed: see the page; run it again to try them again")
    return 1 if failed else 0
