"""Command `archsim reproduce`, which makes every table and figure of the paper."""

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
    help="Folder of the results and the page.",
)
@click.option("--quick", is_flag=True, help="Use only the short bundled traces: minutes instead of an hour.")
@click.option("--jobs", "-j", type=int, help="Processes.  [default: one per core]")
def reproduce(output: Path, quick: bool, jobs: int | None) -> int:
    """Make every table and figure of the paper from the bundled networks, on one page.

    It uses the bundled traces and, if $ARCHSIM_DATA names a folder of corpora, the real test sets. It may be
    interrupted; run it again to continue.

    \b
    archsim reproduce --quick
    ARCHSIM_DATA=~/corpora archsim reproduce -o paper
    """
    from archsim.cli.console import output_console, say, stage_bars
    from archsim.cli.result_tables import summary_table
    from archsim.reproduce.run import reproduce as run_reproduction

    with stage_bars() as on_progress:
        results = run_reproduction(output, quick=quick, jobs=jobs, on_progress=on_progress)
    console = output_console()
    for findings in results:
        console.show(summary_table(findings.records(), with_paper=True))
    say(f"all figures and tables: {output / 'report.html'}")
    failed = sum(len(sweep.failed) for findings in results for sweep in findings.failed)
    if failed:
        say(f"{failed} points failed (see the page); run the command again to retry them")
    return 1 if failed else 0
