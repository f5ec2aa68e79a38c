"""Download of corpora from their public sites; files are kept only if their checksums are right."""

from __future__ import annotations

import hashlib
import re
import shutil
import tarfile
import tempfile
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from archsim.errors import TraceError
from archsim.reading import is_folder, is_there

DownloadCallback = Callable[[str, int, int], None]
"""Callback that takes a file name, the bytes just received, and the total bytes (0 if unknown)."""
_CHUNK_BYTES = 1 << 16
_TIMEOUT_S = 60


class Remote(NamedTuple):
    """File of a corpus, with its checksum."""

    name: str
    sha256: str
    unpack_to: str | None = None
    """Folder for the recordings of an archive; the checksum is then that of the recordings, not of the archive."""


class Home(NamedTuple):
    """Public site of a corpus."""

    base_url: str
    files: tuple[Remote, ...]


_RECORDING = re.compile(r"\d_[a-z]+_(\d+)\.wav")
_MAX_CHECKED_INDEX = 44
"""Largest index of the recordings that the checksum covers; others are not kept."""
_MULTI30K = {
    "train.lc.norm.tok.en": "08925f8e0572bcd5a006702fc5fe20e2d77c6917d4eebd576fc20de6693c2119",
    "train.lc.norm.tok.de": "cb5a23529b65ec2061f1dc446192a9c37382b63cc75f81a0be59d34894b3a505",
    "val.lc.norm.tok.en": "46573ce391ae227f1c72f873392436a20ef18e0a6d518098cfbd70b77c8572ec",
    "val.lc.norm.tok.de": "97232bd273eceb7207f689527386a97e4be2616b18ada47576bdaf96c8ae1f00",
    "test_2016_flickr.lc.norm.tok.en": "5b7f32627cf99eced828311b955dae9800bb52bc8b91cf8b6526829e605b29d2",
    "test_2016_flickr.lc.norm.tok.de": "c6a33d39d48f9f510de147651316cd9d918e09ad0219df734a2f16b6baccacc4",
}
HOMES = {
    "imdb": Home(
        "https://ai.stanford.edu/~amaas/data/sentiment/",
        (Remote("aclImdb_v1.tar.gz", "c40f74a18d3b61f90feba1e17730e0d38e8b97c05fde7008942e91923d1658fe"),),
    ),
    "multi30k": Home(
        "https://raw.githubusercontent.com/multi30k/dataset/master/data/task1/tok/",
        tuple(Remote(name, sha256) for name, sha256 in _MULTI30K.items()),
    ),
    # GitHub repacks its archives from time to time, so the checksum is that of the recordings.
    "fsdd": Home(
        "https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/tags/",
        (
            Remote(
                "v1.0.10.tar.gz",
                "2c6397bc0fdc5834cc11abbf216cb78cfb66567a4b2bcdaf1e60aae8577e6677",
                unpack_to="recordings",
            ),
        ),
    ),
}


def download(corpus: str, root: Path, *, base_url: str | None = None, on_progress: DownloadCallback) -> None:
    """Fetch a corpus into the folder `root` from its public site or a mirror; keep files that are there already.

    Raises TraceError if an address does not answer or a checksum is wrong.
    """
    if is_there(root) and not is_folder(root):
        raise TraceError(f"{root} is a file: need a folder to download into")
    root.mkdir(parents=True, exist_ok=True)
    home = HOMES[corpus]
    for remote in home.files:
        url = f"{(base_url or home.base_url).rstrip('/')}/{remote.name}"
        target = root / (remote.unpack_to or remote.name)
        if target.exists():
            continue
        with tempfile.TemporaryDirectory(dir=root) as name:
            received = Path(name) / remote.name
            sha256 = _receive(url, received, on_progress)
            if remote.unpack_to:
                received, sha256 = _unpack_recordings(url, received)
            if sha256 != remote.sha256:
                raise TraceError(f"{url}: SHA-256 is {sha256}, need {remote.sha256}: nothing was kept")
            shutil.move(received, target)


def _unpack_recordings(url: str, archive: Path) -> tuple[Path, str]:
    """Unpack an archive's recordings into a folder beside it; return the folder and their checksum."""
    folder, sha = archive.with_suffix(".members"), hashlib.sha256()
    folder.mkdir()
    try:
        members = dict(_recordings(archive))
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise TraceError(f"{url}: not a readable .tar.gz: {error}") from None
    for name, data in sorted(members.items()):
        (folder / name).write_bytes(data)
        sha.update(name.encode() + b"\0" + data)
    return folder, sha.hexdigest()


def _recordings(archive: Path) -> Iterator[tuple[str, bytes]]:
    # Only the last part of a member's name is used, so that a hostile path in the archive cannot leave the folder.
    with tarfile.open(archive, "r:gz") as tar:
        for member in tar:
            name, file = PurePosixPath(member.name).name, tar.extractfile(member) if member.isfile() else None
            match = _RECORDING.fullmatch(name)
            if file and match and int(match[1]) <= _MAX_CHECKED_INDEX:
                yield name, file.read()


def _receive(url: str, path: Path, on_progress: DownloadCallback) -> str:
    """Download an address to `path`; return its SHA-256."""
    sha = hashlib.sha256()
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer, path.open("wb") as file:
            total = int(answer.headers.get("Content-Length") or 0)
            while chunk := answer.read(_CHUNK_BYTES):
                file.write(chunk)
                sha.update(chunk)
                on_progress(path.name, len(chunk), total)
    except (HTTPException, OSError, ValueError) as error:
        raise TraceError(f"{url}: cannot be fetched: {error}") from None
    return sha.hexdigest()
