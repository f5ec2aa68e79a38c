"""Files written whole or not at all, and where the bundled ones lie."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from archsim.errors import RunFailedError, UsageError
from archsim.reading import is_folder, is_there, leads_in_a_circle

UNFINISHED = ".archsim-"
"""How the names of files begin that are not whole yet."""
MAX_NAME_BYTES = 255
"""Longest file name of the usual file systems."""
HINDRANCES = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE)
"""Errors of a machine that is out of something, whatever it was asked to write."""


@contextmanager
def write_whole(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it takes the final name only if the block succeeds.

    A file that is replaced hands on its mode, and its owner where that is allowed; behind a link it is the link's
    target that is replaced. A new file has the mode that the umask gives. Raises UsageError as `check_writable` does,
    RunFailedError where the file cannot be written to its end.
    """
    final = check_writable(path)
    before = final.stat() if final.exists() else None
    temporary = _new_file_beside(final, before)
    try:
        yield temporary
        if before is not None:
            _hand_on_access(before, temporary)
        temporary.replace(final)
    except OSError as error:
        raise RunFailedError(f"cannot write {final}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _new_file_beside(final: Path, before: os.stat_result | None) -> Path:
    """Make an empty file in the folder of `final`, which nobody may read who may not read the file it replaces."""
    # The system applies the umask as it creates the file: asking for the umask would change it for other threads.
    mode = 0o666 if before is None else stat.S_IMODE(before.st_mode) & 0o666 | stat.S_IWUSR | stat.S_IRUSR
    temporary = final.with_name(f"{UNFINISHED}{secrets.token_hex(8)}{final.suffix}")
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
    except OSError as error:
        kind = RunFailedError if error.errno in HINDRANCES else UsageError
        raise kind(f"cannot write {final}: {error.strerror}") from error
    return temporary


def _hand_on_access(before: os.stat_result, path: Path) -> None:
    """Give a file the owner and the mode of the file that it replaces; the owner only where the system allows it."""
    now = path.stat()
    if hasattr(os, "chown") and (before.st_uid, before.st_gid) != (now.st_uid, now.st_gid):
        with suppress(OSError):
            os.chown(path, before.st_uid, before.st_gid)
    path.chmod(stat.S_IMODE(before.st_mode))  # after the owner: a change of owner clears bits of the mode


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


def check_writable(path: str | Path) -> Path:
    """Return the absolute path of the file that writing to `path` makes, links followed; ask before long work.

    Raises UsageError if it cannot become a file.
    """
    path = named_path(path)
    if leads_in_a_circle(path):
        raise UsageError(f"cannot write {path}: its links lead in a circle")
    try:
        final = path.resolve()
        reason = _unwritable(path) or _unwritable(final)
    except (OSError, RuntimeError, ValueError) as error:
        raise UsageError(f"cannot write {path}: {getattr(error, 'strerror', None) or error}") from None
    if reason:
        raise UsageError(f"cannot write {path}: {reason}")
    return final


def named_path(path: str | Path) -> Path:
    """Return `path` as a Path; UsageError for an empty text, which would stand for the working folder, or no path."""
    if not isinstance(path, str | Path):
        raise UsageError(f"cannot write to a {type(path).__name__}: need the name of a file or folder")
    if path == "":
        raise UsageError("cannot write '': need the name of a file or folder")
    return Path(path)


def _unwritable(path: Path) -> str | None:
    """Return why `path` cannot become a file; None if it can."""
    if len(os.fsencode(path.name)) > MAX_NAME_BYTES:
        return f"the name is longer than {MAX_NAME_BYTES} bytes"
    if not is_folder(path.parent):
        return f"folder {path.parent} does not exist"
    if path.is_absolute() and path.parts[1:2] in (("dev",), ("proc",)):
        return "it is not a regular file"
    if is_there(path) and not path.is_file():
        return f"it is {'a folder' if path.is_dir() else 'not a regular file'}"
    if not os.access(path.parent, os.W_OK):
        return f"folder {path.parent} is not writable"
    return None


def bundled_tables(package: str) -> dict[str, Traversable]:
    """Return the TOML files inside a package by name, without their suffix."""
    items = sorted(files(package).iterdir(), key=lambda item: item.name)
    return {item.name.removesuffix(".toml"): item for item in items if item.name.endswith(".toml")}


def bundled_folder(kind: str) -> Path:
    """Return the folder of bundled `models` or `traces`: inside an installed package, beside it in a checkout."""
    package = Path(__file__).parent
    inside = package / kind
    return inside if inside.is_dir() else package.parent / kind
