"""Checks of the files that a command will write, made before its work starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from archsim.errors import UsageError
from archsim.files import check_writable


def check_outputs(outputs: Mapping[str, Path | None], inputs: Mapping[str, Iterable[Path]]) -> None:
    """Raise UsageError for an output that cannot be written, or that is also another output or an input.

    Keys are the names of options. Two paths are equal if they lead to the same file with links followed.
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
    """Return the files that a command reads for these options, by option."""
    from archsim.ir.folder import network_files

    return {
        "--network": [] if network is None else network_files(network),
        "--trace": [] if trace is None else [Path(trace)],
        "--arch": [Path(arch)],
    }


def _identity(path: Path) -> object:
    """Return a value that is equal for two paths of the same file, whether or not it exists yet."""
    try:
        status = path.stat()
        return status.st_dev, status.st_ino
    except OSError:
        pass
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # a loop of links
        return path.absolute()
