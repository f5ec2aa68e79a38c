"""Kinds of option values that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


class NamedPath(click.Path):
    """A file or folder; an empty text, which stands for the working folder as a path, is refused."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path; a usage error names the option."""
        if value == "":
            self.fail("'' is empty: need the name of a file or folder", param, ctx)
        return super().convert(value, param, ctx)
