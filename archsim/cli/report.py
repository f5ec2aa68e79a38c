"""`archsim report`: figures, tables and one page from a sweep's folder."""

from __future__ import annotations

from pathlib import Path

import click

from archsim.cli.options import NamedPath


@click.command()
@click.argument("folder", type=NamedPath())
def report(folder: Path) -> None:
    """Write FOLDER/report.html, one page that holds everything it shows, and its figures as .svg and .png.

    Works on any sweep, finished or not.

    \b
    archsim sweep grid.toml -o out && archsim report out
    """
    from archsim.cli.console import say
    from archsim.report.assemble import write_report

    say(str(write_report(folder)))
