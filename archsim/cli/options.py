"""Options, and types of option values, that several commands use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


class NamedPath(click.Path):
    """Path of a file or folder; an empty text is refused, because Path would make it the working folder."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path; fail with a usage error that names the option."""
        if value == "":
            self.fail("'' is empty: need the name of a file or folder", param, ctx)
        return super().convert(value, param, ctx)


def _load_plugins(context: click.Context, option: click.Parameter, paths: tuple[Path, ...]) -> None:
    if paths and not context.resilient_parsing:  # a shell that completes a line must not run the files in it
        from archsim.plugins import load_plugin

        for path in paths:
            load_plugin(path)


plugin_option = click.option(
    "--plugin",
    type=NamedPath(),
    multiple=True,
    is_eager=True,
    expose_value=False,
    callback=_load_plugins,
    metavar="FILE",
    help="Python file to run first, which registers a policy, a task metric or a machine; may be repeated.",
)
"""Option that runs plug-in files before the command does anything else."""
