"""Files that a command is to write, checked before it works: they can be written, and none is another or an input."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from archsim.errors import UsageError
from archsim.files import check_writable


def check_outputs(outputs: Mapping[str, Path | None], inputs: Mapping[str, Iterable[Path]]) -> None:
    """Raise UsageError for an output that cannot be written, or that is also another output or an input.

    Both are given by the name of their option. Paths are the same where they lead to the same file, links followed.
    """
    taken = {_identity(path): option for option, paths in inputs.items() for path in paths}
    for option, path in outputs.items():
        if path is None:
            continue
        other = taken.setdefault(_identity(path), option)
        if other != option:
            raise UsageError(f"{other} and {option} are one file, {path}: need two files")
        check_writable(path)


def input_files(network: str | None, trace: str | None, arch: str) -> dict[str, list[Path]]:
    """Return the files that these options make a command read, by option."""
    from archsim.ir.folder import network_files

    return {
        "--network": [] if network is None else network_files(network),
        "--trace": [] if trace is None else [Path(trace)],
        "--arch": [Path(arch)],
    }


def _identity(path: Path) -> object:
    """Return something that is equal for two paths of one file, whether it is there already or not."""
    try:
        found = path.stat()
        return found.st_dev, found.st_ino
    except OSError:
        pass
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # links in a circle
        return path.absolute()
