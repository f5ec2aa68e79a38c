"""Files that know what they were made for and whether they are still as they were written.

A file carries a seal in its own text: the key it was made for, and a digest over all its bytes, those of the seal left
out. Any format that holds a text as it is (safetensors, JSON, Parquet) can be sealed and is still read by its readers.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

_MARK = b"archsim-seal:"
_DIGITS = 64
_BLANK = b"0" * _DIGITS


def blank_seal(key: str) -> str:
    """Return the text that a file has to hold, once, before it can be sealed for a key of ASCII letters."""
    return f"{_MARK.decode()}{key}:{_BLANK.decode()}"


def seal(path: Path, key: str) -> None:
    """Put the digest of a file that holds `blank_seal(key)` in its place."""
    data = path.read_bytes()
    at = _digest_at(data, key)
    assert at is not None, f"{path} holds one blank seal"
    with path.open("r+b") as file:
        file.seek(at)
        file.write(_digest(data, at))


def is_sealed(path: Path, key: str) -> bool:
    """Return whether a file was made for this key and is, byte by byte, as it was sealed; False if unreadable."""
    try:
        data = path.read_bytes()
    except OSError:
        return False
    at = _digest_at(data, key)
    return at is not None and data[at : at + _DIGITS] == _digest(data, at)


def digest_of(*texts: str | None) -> str:
    """Return a digest over some texts, each with its length, for what is sealed elsewhere than in a file."""
    return _hash(*(b"-" if text is None else b"%d:%s" % (len(text.encode()), text.encode()) for text in texts)).decode()


def _digest_at(data: bytes, key: str) -> int | None:
    """Return where the digest of the one seal for this key begins; None where there is no such seal, or more seals."""
    mark = _MARK + key.encode() + b":"
    at = data.find(mark)
    if at < 0 or data.count(_MARK) != 1 or len(data) < at + len(mark) + _DIGITS:
        return None
    return at + len(mark)


def _digest(data: bytes, at: int) -> bytes:
    view = memoryview(data)
    return _hash(view[:at], _BLANK, view[at + _DIGITS :])


def _hash(*pieces: bytes | memoryview) -> bytes:
    found = hashlib.blake2b(digest_size=_DIGITS // 2)
    for piece in pieces:
        found.update(piece)
    return found.hexdigest().encode()
