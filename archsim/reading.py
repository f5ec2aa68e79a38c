"""Small text files, TOML above all, read so that nothing in them can hang or exhaust the reader.

A file that cannot be read raises the caller's kind of UsageError, naming the file and what would be accepted.
"""

from __future__ import annotations

import errno
import re
import stat
import tomllib
from pathlib import Path
from typing import Any

from archsim.errors import UsageError

MOST_TEXT_BYTES = 1 << 24
"""Largest text file that is read at once, 16 MiB."""
SOME_BYTES = 1 << 16
"""Bytes that are asked for at least."""
MOST_DEPTH = 32
"""Brackets inside brackets, and parts of a dotted key: the parser takes time and memory by their square."""
MOST_BITS = 63
"""Bits of a whole number, as TOML has it."""
# Strings, closed or not, and comments. Nothing is tried twice (++, *+): a file of open quotes is read in one go, too.
_ASIDE = re.compile(
    r""""{3}(?:[^"\\]|\\.|"{1,2}(?!"))*+(?:"{3,5}|\Z)|'{3}(?:[^']|'{1,2}(?!'))*+(?:'{3,5}|\Z)"""
    r"""|"(?:\\.|[^"\\\n])*+"?|'[^'\n]*+'?|(#)[^\n]*+""",
    re.DOTALL,
)
_BRACKET = re.compile(r"[\[\]{}]")
_LONG_KEY = re.compile(rf'(?<![\w."-])(?:(?:[\w-]+|"")[ \t]*\.[ \t]*){{{MOST_DEPTH}}}')
ErrorKind = type[UsageError]


def is_there(path: Path) -> bool:
    """Return whether there is anything at a path; False for one that no file can have, as it is too long."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def leads_in_a_circle(path: Path) -> bool:
    """Return whether a path is, or goes by, a link that leads back to itself."""
    try:
        path.stat()
    except OSError as problem:
        return problem.errno == errno.ELOOP
    except ValueError:
        return False
    return False


def is_file(path: Path) -> bool:
    """Return whether a path is that of a regular file."""
    return is_there(path) and path.is_file()


def is_folder(path: Path) -> bool:
    """Return whether a path is that of a folder."""
    return is_there(path) and path.is_dir()


def require_regular(path: Path, error: ErrorKind, what: str = "a file") -> None:
    """Raise `error` unless `path` is a regular file, before anything waits for a pipe or reads a device without end."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise error(f"{path}: no such file, need {what}") from None
    except (OSError, ValueError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else problem
        raise error(f"{path}: cannot be a file ({reason}), need {what}") from None
    if stat.S_ISDIR(mode):
        raise error(f"{path} is a folder, need {what}")
    if not stat.S_ISREG(mode):
        raise error(f"{path} is a pipe or a device, need {what}: write its content to a file first")


def read_bytes(path: Path, error: ErrorKind, what: str = "a file", most: int = MOST_TEXT_BYTES) -> bytes:
    """Return the bytes of a regular file of at most `most` bytes."""
    require_regular(path, error, what)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:  # some files of the system say that they have no bytes
            data = file.read(max(size, SOME_BYTES) + 1) if size <= most else b""
    except OSError as problem:
        raise error(f"{path}: cannot be read ({problem.strerror}), need {what}") from None
    if max(size, len(data)) > most:
        raise error(f"{path} has {max(size, len(data))} bytes, need {what} of at most {most}")
    return data


def read_text(path: Path, error: ErrorKind, what: str = "a text file") -> str:
    """Return the text of a UTF-8 file without its byte order mark, lines ending in `\\n`."""
    data = read_bytes(path, error, what)
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as problem:
        raise error(f"{path}: not UTF-8 ({problem.reason} at byte {problem.start}), need {what}") from None


def lines_of(text: str) -> list[str]:
    """Return the lines of a text; the last one counts once, whether a newline ends it or not.

    Only `\\n` ends a line: other separators that Unicode knows are characters of a caption or a word.
    """
    return text.removesuffix("\n").split("\n") if text else []


def read_toml(path: Path, error: ErrorKind) -> dict[str, Any]:
    """Return the tables of a TOML file."""
    return parse_toml(read_text(path, error, "a TOML file"), str(path), error)


def parse_toml(text: str, where: str, error: ErrorKind) -> dict[str, Any]:
    """Return the tables of a TOML text; `error` starts with `where`."""
    _check_shape(text, where, error)
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise error(f"{where}: not TOML: {problem}") from None
    except ValueError:
        raise error(f"{where}: not TOML: a number of thousands of digits, need at most {MOST_BITS} bits") from None
    except RecursionError:
        raise error(f"{where}: not TOML: nested too deep, need at most {MOST_DEPTH} levels") from None
    _check_numbers(tables, "", where, error)
    return tables


def _check_shape(text: str, where: str, error: ErrorKind) -> None:
    """Raise `error` for what is nested or dotted so deep that parsing it would not end."""
    bare = _ASIDE.sub(lambda found: "" if found[1] else '""', text)
    depth = 0
    for bracket in _BRACKET.finditer(bare):
        depth += 1 if bracket[0] in "[{" else -1
        if depth > MOST_DEPTH:
            raise error(f"{where}: not TOML: brackets nested too deep, need at most {MOST_DEPTH} levels")
    if _LONG_KEY.search(bare):
        raise error(f"{where}: a key of more than {MOST_DEPTH} parts, need at most {MOST_DEPTH}")


def _check_numbers(value: Any, key: str, where: str, error: ErrorKind) -> None:
    """Raise `error` for a whole number of more than 64 bits."""
    if isinstance(value, dict):
        for name, part in value.items():
            _check_numbers(part, f"{key}.{name}" if key else name, where, error)
    elif isinstance(value, list):
        for part in value:
            _check_numbers(part, key, where, error)
    elif isinstance(value, int) and value.bit_length() > MOST_BITS:
        raise error(f"{where}: {key} is a whole number of {value.bit_length()} bits, need at most {MOST_BITS}")
