"""Malformed inputs, written by small functions: mistakes of a user, a broken disk, or a hostile file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Case(NamedTuple):
    """Malformed input and the message of its refusal."""

    name: str
    make: Callable[[Path], Callable[[], object]]
    """Writes the input into a folder and returns what reads it."""
    says: str
    """A regular expression."""


def file_case(kind: str, file: str, read: Callable[[Path], object], content: bytes | str, says: str, n: int) -> Case:
    """Return a case whose file has this content; its refusal names the file."""

    def make(folder: Path) -> Callable[[], object]:
        path = folder / file
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return lambda: read(path)

    return Case(f"{kind}-{n}", make, f"{file}.*{says}")
