"""Sealed files, which record the key they were made for and a digest that shows whether they have changed.

The seal is a text inside the file: the key, and a digest over all bytes except its own. Any format that stores a text
unchanged (safetensors, JSON, Parquet) can be sealed, and its usual readers still read it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

_MARK = b"archsim-seal:"
_DIGITS = 64
_BLANK = b"0" * _DIGITS


def blank_seal(key: str) -> str:
    """Return the text that a file must contain exactly once before it is sealed for `key` (ASCII letters)."""
    return f"{_MARK.decode()}{key}:{_BLANK.decode()}"


def seal(path: Path, key: str) -> None:
    """Write the digest of a file into the `blank_seal(key)` that it contains."""
    data = path.read_bytes()
    at = _digest_at(data, key)
    assert at is not None, f"{path} holds one blank seal"
    with path.open("r+b") as file:
        file.seek(at)
        file.write(_digest(data, at))


def is_sealed(path: Path, key: str) -> bool:
    """Return whether a file was sealed for this key and has not changed since; False if it cannot be read."""
    try:
        data = path.read_bytes()
    except OSError:
        return False
    at = _digest_at(data, key)
    return at is not None and data[at : at + _DIGITS] == _digest(data, at)


def digest_of(*texts: str | None) -> str:
    """Return a digest over texts and their lengths, for results that are not sealed inside a file."""
    return _hash(*(b"-" if text is None else b"%d:%s" % (len(text.encode()), text.encode()) for text in texts)).decode()


def _digest_at(data: bytes, key: str) -> int | None:
    """Return the offset of the digest in the seal for this key; None unless the data contain exactly one seal."""
    mark = _MARK + key.encode() + b":"
    at = data.find(mark)
    if at < 0 or data.count(_MARK) != 1 or len(data) < at + len(mark) + _DIGITS:
        return None
    return at + len(mark)


def _digest(data: bytes, at: int) -> bytes:
    view = memoryview(data)
    return _hash(view[:at], _BLANK, view[at + _DIGITS :])


def _hash(*pieces: bytes | memoryview) -> bytes:
    digest = hashlib.blake2b(digest_size=_DIGITS // 2)
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest().encode()
