"""Safe reading of small text files, above all TOML: no content can hang the reader or exhaust its memory.

If a file cannot be read, the caller's kind of UsageError is raised, with the file and what would be accepted.
"""

from __future__ import annotations

import errno
import re
import stat
import tomllib
from pathlib import Path
from typing import Any

from archsim.errors import UsageError

MAX_TEXT_BYTES = 1 << 24
"""Bytes of the largest text file that is read, 16 MiB."""
MIN_READ_BYTES = 1 << 16
"""Bytes requested at least, because some system files report a size of zero."""
MAX_DEPTH = 32
"""Levels of nested brackets and parts of a dotted key; the parser's time and memory grow with their square."""
MAX_INTEGER_BITS = 63
"""Bits of the largest whole number that TOML allows, its sign apart."""
# Strings, closed or not, and comments. Possessive repeats (++, *+) do not backtrack, so that a file of open quotes
# takes linear time.
_STRING_OR_COMMENT = re.compile(
    r""""{3}(?:[^"\\]|\\.|"{1,2}(?!"))*+(?:"{3,5}|\Z)|'{3}(?:[^']|'{1,2}(?!'))*+(?:'{3,5}|\Z)"""
    r"""|"(?:\\.|[^"\\\n])*+"?|'[^'\n]*+'?|(#)[^\n]*+""",
    re.DOTALL,
)
_BRACKET = re.compile(r"[\[\]{}]")
_LONG_KEY = re.compile(rf'(?<![\w."-])(?:(?:[\w-]+|"")[ \t]*\.[ \t]*){{{MAX_DEPTH}}}')
ErrorKind = type[UsageError]


def is_there(path: Path) -> bool:
    """Return whether something exists at a path; False for a path that no file can have, such as one too long."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def is_link_loop(path: Path) -> bool:
    """Return whether a path is, or passes through, a link that leads back to itself."""
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
    """Raise `error` unless `path` is a regular file, because reading a pipe or a device might never end."""
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


def read_bytes(path: Path, error: ErrorKind, what: str = "a file", max_bytes: int = MAX_TEXT_BYTES) -> bytes:
    """Return the bytes of a regular file of at most `max_bytes` bytes."""
    require_regular(path, error, what)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            data = file.read(max(size, MIN_READ_BYTES) + 1) if size <= max_bytes else b""
    except OSError as problem:
        raise error(f"{path}: cannot be read ({problem.strerror}), need {what}") from None
    if max(size, len(data)) > max_bytes:
        raise error(f"{path} has {max(size, len(data))} bytes, need {what} of at most {max_bytes}")
    return data


def read_text(path: Path, error: ErrorKind, what: str = "a text file") -> str:
    """Return the text of a UTF-8 file without its byte order mark, lines ending in `\\n`."""
    data = read_bytes(path, error, what)
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as problem:
        raise error(f"{path}: not UTF-8 ({problem.reason} at byte {problem.start}), need {what}") from None


def lines_of(text: str) -> list[str]:
    """Return the lines of a text; a newline at its end adds no empty line.

    Only `\\n` ends a line, because other separators of Unicode may be part of a caption or a word.
    """
    return text.removesuffix("\n").split("\n") if text else []


def read_toml(path: Path, error: ErrorKind) -> dict[str, Any]:
    """Return the tables of a TOML file."""
    return parse_toml(read_text(path, error, "a TOML file"), str(path), error)


def parse_toml(text: str, where: str, error: ErrorKind) -> dict[str, Any]:
    """Return the tables of a TOML text. The message of an `error` starts with `where`."""
    _check_shape(text, where, error)
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise error(f"{where}: not TOML: {problem}") from None
    except ValueError:
        raise error(
            f"{where}: not TOML: a number of thousands of digits, need at most {MAX_INTEGER_BITS} bits"
        ) from None
    except RecursionError:
        raise error(f"{where}: not TOML: nested too deep, need at most {MAX_DEPTH} levels") from None
    _check_numbers(tables, "", where, error)
    return tables


def _check_shape(text: str, where: str, error: ErrorKind) -> None:
    """Raise `error` for a text nested or dotted so deeply that parsing it would take too long."""
    bare = _STRING_OR_COMMENT.sub(lambda match: "" if match[1] else '""', text)
    depth = 0
    for bracket in _BRACKET.finditer(bare):
        depth += 1 if bracket[0] in "[{" else -1
        if depth > MAX_DEPTH:
            raise error(f"{where}: not TOML: brackets nested too deep, need at most {MAX_DEPTH} levels")
    if _LONG_KEY.search(bare):
        raise error(f"{where}: a key of more than {MAX_DEPTH} parts, need at most {MAX_DEPTH}")


def _check_numbers(value: Any, key: str, where: str, error: ErrorKind) -> None:
    """Raise `error` for a whole number beyond 64 bits with sign."""
    if isinstance(value, dict):
        for name, part in value.items():
            _check_numbers(part, f"{key}.{name}" if key else name, where, error)
    elif isinstance(value, list):
        for part in value:
            _check_numbers(part, key, where, error)
    elif isinstance(value, int) and value.bit_length() > MAX_INTEGER_BITS:
        raise error(f"{where}: {key} is a whole number of {value.bit_length()} bits, need at most {MAX_INTEGER_BITS}")
