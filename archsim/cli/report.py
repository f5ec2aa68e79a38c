"""Command `archsim report`, which makes figures, tables and one page of a sweep."""

from __future__ import annotations

from pathlib import Path

import click

from archsim.cli.options import NamedPath


@click.command()
@click.argument("folder", type=NamedPath())
def report(folder: Path) -> None:
    """Write FOLDER/report.html, one self-contained page, and its figures as .svg and .png.

    The sweep need not be finished.

    \b
    archsim sweep grid.toml -o out && archsim report out
    """
    from archsim.cli.console import say
    from archsim.report.assemble import write_report

    say(str(write_report(folder)))
