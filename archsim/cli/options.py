"""Types of option values that several commands use."""

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
