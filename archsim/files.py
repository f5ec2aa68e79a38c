"""Atomic writing of files, checks of output paths, and the folders of bundled files."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from archsim.errors import RunFailedError, UsageError
from archsim.reading import is_folder, is_link_loop, is_there

UNFINISHED = ".archsim-"
"""Prefix of the names of files that are still being written."""
MAX_NAME_BYTES = 255
"""Bytes of the longest file name that common file systems accept."""
RESOURCE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE)
"""Error numbers of a machine that lacks space, handles or memory, whichever path it was asked to write."""


@contextmanager
def write_whole(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which is renamed to `path` only if the block succeeds.

    A replaced file passes on its mode, and its owner if the system allows it. If `path` is a link, its target is
    replaced. A new file has the mode that the umask gives. Raises UsageError as `check_writable` does, and
    RunFailedError if the file cannot be written completely.
    """
    final = check_writable(path)
    before = final.stat() if final.exists() else None
    temporary = _create_beside(final, before)
    try:
        yield temporary
        if before is not None:
            _copy_access(before, temporary)
        temporary.replace(final)
    except OSError as error:
        raise RunFailedError(f"cannot write {final}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def write_new_folder(folder: str | Path) -> Iterator[Path]:
    """Yield a temporary folder beside `folder`, which takes its name only if the block succeeds.

    Raises UsageError as `check_new_folder` does, and RunFailedError if it cannot be written completely.
    """
    final = check_new_folder(folder)
    temporary = final.with_name(f"{UNFINISHED}{secrets.token_hex(8)}")
    try:
        temporary.mkdir()
        yield temporary
        temporary.replace(final)  # also over an empty folder
    except OSError as error:
        kind = RunFailedError if error.errno in RESOURCE_ERRORS else UsageError
        raise kind(f"cannot write {final}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_new_folder(folder: str | Path) -> Path:
    """Return the absolute path of a folder that does not exist yet or is empty; UsageError if it cannot be made."""
    path = named_path(folder)
    try:
        final = path.resolve()
        if is_there(path) and not is_folder(path):
            raise UsageError(f"cannot write {path}: it is not a folder")
        if is_folder(path) and any(path.iterdir()):
            raise UsageError(f"cannot write {path}: the folder is not empty; name a new one")
        reason = None if is_folder(final) else _unwritable(final)
    except (OSError, RuntimeError, ValueError) as error:
        raise UsageError(f"cannot write {path}: {getattr(error, 'strerror', None) or error}") from None
    if reason or not os.access(final.parent, os.W_OK):
        raise UsageError(f"cannot write {path}: {reason or f'folder {final.parent} is not writable'}")
    return final


def _create_beside(final: Path, before: os.stat_result | None) -> Path:
    """Create an empty file in the folder of `final`, no more widely readable than the file that it will replace."""
    # The system applies the umask on creation, because reading the umask here would change it for other threads.
    mode = 0o666 if before is None else stat.S_IMODE(before.st_mode) & 0o666 | stat.S_IWUSR | stat.S_IRUSR
    temporary = final.with_name(f"{UNFINISHED}{secrets.token_hex(8)}{final.suffix}")
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
    except OSError as error:
        kind = RunFailedError if error.errno in RESOURCE_ERRORS else UsageError
        raise kind(f"cannot write {final}: {error.strerror}") from error
    return temporary


def _copy_access(before: os.stat_result, path: Path) -> None:
    """Give a file the mode of the file that it replaces, and its owner if the system allows it."""
    now = path.stat()
    if hasattr(os, "chown") and (before.st_uid, before.st_gid) != (now.st_uid, now.st_gid):
        with suppress(OSError):
            os.chown(path, before.st_uid, before.st_gid)
    path.chmod(stat.S_IMODE(before.st_mode))  # after the owner, because a change of owner clears bits of the mode


def remove_unfinished(*folders: Path) -> None:
    """Remove files that killed processes left incomplete. No other process may be writing into the folders."""
    for folder in folders:
        for path in folder.glob(f"{UNFINISHED}*"):
            path.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make a folder for results; raise UsageError if that is not possible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise UsageError(f"cannot write {folder}: it is not a folder") from None
    except OSError as error:
        raise UsageError(f"cannot write {folder}: {error.strerror}") from None
    if not os.access(folder, os.W_OK):
        raise UsageError(f"cannot write {folder}: the folder is not writable")


def check_writable(path: str | Path) -> Path:
    """Return the absolute path of the file that writing to `path` will create, with links followed.

    Raises UsageError if no file can be written there. Call it before long work.
    """
    path = named_path(path)
    if is_link_loop(path):
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
    """Return `path` as a Path; raise UsageError for another type, and for an empty text, which Path takes as `.`."""
    if not isinstance(path, str | Path):
        raise UsageError(f"cannot write to a {type(path).__name__}: need the name of a file or folder")
    if path == "":
        raise UsageError("cannot write '': need the name of a file or folder")
    return Path(path)


def _unwritable(path: Path) -> str | None:
    """Return the reason why no file can be written at `path`, or None if it can."""
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
    """Return the TOML files of a package by their name without suffix."""
    items = sorted(files(package).iterdir(), key=lambda item: item.name)
    return {item.name.removesuffix(".toml"): item for item in items if item.name.endswith(".toml")}


def bundled_folder(kind: str) -> Path:
    """Return the folder of bundled `models` or `traces`, inside an installed package or beside it in a checkout."""
    package = Path(__file__).parent
    inside = package / kind
    return inside if inside.is_dir() else package.parent / kind
