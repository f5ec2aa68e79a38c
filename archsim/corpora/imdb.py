"""Large Movie Review Dataset (Maas et al., ACL 2011), read from a folder or from its archive."""

from __future__ import annotations

import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO

from archsim.corpora.roots import check_split, data_root
from archsim.errors import TraceError
from archsim.reading import MAX_TEXT_BYTES, is_folder, is_there, read_bytes, require_regular
from archsim.traceio.trace import Trace

_REVIEW = re.compile(r"(?:^|/)aclImdb/(train|test)/(pos|neg)/(\d+)_\d+\.txt$")
_VALID_EVERY = 10


def imdb_trace(split: str, root: Path | None = None) -> Trace:
    """Read movie reviews (0 negative, 1 positive) from the layout of the public aclImdb_v1.tar.gz.

    Splits: `train` and `valid` share the training reviews (every tenth id is in `valid`), `test` takes the test
    reviews, `all` takes every review. Reviews are in the order of their ids, with alternating labels.
    """
    check_split(split)
    source = _find_imdb(root or data_root())
    reviews = sorted(
        (part, int(number), label, text)
        for part, label, number, text in _imdb_reviews(source)
        if split in ("all", _split_of(part, int(number)))
    )
    if not reviews:
        raise TraceError(
            f"{source}: no review of split {split!r} in it, need aclImdb/train/pos/ID_RATING.txt and the like"
        )
    texts, targets = [text for *_, text in reviews], [int(label == "pos") for _, _, label, _ in reviews]
    trace = Trace.from_texts(texts, targets, name=f"imdb-{split}")
    return trace.described("movie reviews", "Large Movie Review Dataset v1.0, Maas et al., ACL 2011")


def _split_of(part: str, number: int) -> str:
    if part == "test":
        return "test"
    return "valid" if number % _VALID_EVERY == _VALID_EVERY - 1 else "train"


def _find_imdb(root: Path) -> Path:
    for folder in (root, root / "imdb"):
        if is_folder(folder / "aclImdb"):
            return folder / "aclImdb"
        archives = sorted(folder.glob("aclImdb*.tar.gz"))
        if archives:
            return archives[0]
    if root.name == "aclImdb" or (is_there(root) and not is_folder(root)):
        return root
    raise TraceError(f"{root}: no aclImdb folder and no aclImdb*.tar.gz in it or in its folder imdb")


def _imdb_reviews(source: Path) -> Iterator[tuple[str, str, str, str]]:
    """Yield (train|test, pos|neg, id, text)."""
    try:
        for name, data in _files_of(source) if is_folder(source) else _members_of(source):
            match = _REVIEW.search(name)
            if match:
                yield match[1], match[2], match[3], data().decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise TraceError(f"{source}: not a readable .tar.gz of reviews: {error}") from None
    except UnicodeDecodeError as error:
        raise TraceError(f"{source}: {name} is not UTF-8: {error}") from None


def _files_of(folder: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    for path in folder.glob("t*/*/*.txt"):
        yield path.as_posix(), partial(read_bytes, path, TraceError, "a review")


def _members_of(archive: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    # Members are read one by one and never unpacked to disk, so a hostile path in the archive is harmless.
    require_regular(archive, TraceError, "a folder aclImdb or its .tar.gz")
    with tarfile.open(archive, "r:gz") as tar:
        for member in tar:
            file = tar.extractfile(member) if member.isfile() else None
            if file:
                yield member.name, partial(_read_member, file, f"{archive}: {member.name}")


def _read_member(file: IO[bytes], where: str) -> bytes:
    data = file.read(MAX_TEXT_BYTES + 1)
    if len(data) > MAX_TEXT_BYTES:
        raise TraceError(f"{where} is larger, need a review of at most {MAX_TEXT_BYTES} bytes")
    return data
