"""Files written whole or not at all, and where the bundled ones lie."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from archsim.errors import RunFailedError, UsageError
from archsim.reading import is_folder, is_there

UNFINISHED = ".archsim-"
"""How the names of files begin that are not whole yet."""
MAX_NAME_BYTES = 255
"""Longest file name of the usual file systems."""
HINDRANCES = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE)
"""Errors of a machine that is out of something, whatever it was asked to write."""


@contextmanager
def write_whole(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it takes the final name only if the block succeeds.

    Raises UsageError where there can be no such file, RunFailedError where it cannot be written to its end.
    """
    check_writable(Path(path))
    final = Path(path).resolve()
    try:
        handle, name = tempfile.mkstemp(dir=final.parent, prefix=UNFINISHED, suffix=final.suffix)
    except OSError as error:
        kind = RunFailedError if error.errno in HINDRANCES else UsageError
        raise kind(f"cannot write {final}: {error.strerror}") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(final)
    except OSError as error:
        raise RunFailedError(f"cannot write {final}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def remove_unfinished(*folders: Path) -> None:
    """Remove what processes that were killed have left half written; only for who has the folders to himself."""
    for folder in folders:
        for path in folder.glob(f"{UNFINISHED}*"):
            path.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make a folder for results; UsageError where there can be none."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise UsageError(f"cannot write {folder}: it is not a folder") from None
    except OSError as error:
        raise UsageError(f"cannot write {folder}: {error.strerror}") from None
    if not os.access(folder, os.W_OK):
        raise UsageError(f"cannot write {folder}: the folder is not writable")


def check_writable(path: Path) -> None:
    """Raise UsageError if `path` cannot become a file; ask before long work, not after it."""
    if len(path.name.encode()) > MAX_NAME_BYTES:
        raise UsageError(f"cannot write {path}: the name is longer than {MAX_NAME_BYTES} bytes")
    try:
        path = path.resolve() if path.is_symlink() else path
    except (OSError, RuntimeError):
        raise UsageError(f"cannot write {path}: its links lead in a circle") from None
    if not is_folder(path.parent):
        raise UsageError(f"cannot write {path}: folder {path.parent} does not exist")
    if path.is_absolute() and path.parts[1:2] in (("dev",), ("proc",)):
        raise UsageError(f"cannot write {path}: it is not a regular file")
    if is_there(path) and not path.is_file():
        raise UsageError(f"cannot write {path}: it is {'a folder' if path.is_dir() else 'not a regular file'}")
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"cannot write {path}: folder {path.parent} is not writable")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def bundled_tables(package: str) -> dict[str, Traversable]:
    """Return the TOML files inside a package by name, without their suffix."""
    items = sorted(files(package).iterdir(), key=lambda item: item.name)
    return {item.name.removesuffix(".toml"): item for item in items if item.name.endswith(".toml")}


def bundled_folder(kind: str) -> Path:
    """Return the folder of bundled `models` or `traces`: inside an installed package, beside it in a checkout."""
    package = Path(__file__).parent
    inside = package / kind
    return inside if inside.is_dir() else package.parent / kind
