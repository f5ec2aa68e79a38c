"""Folders of public corpora, and the names of their splits."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from archsim.errors import TraceError
from archsim.reading import is_folder

DATA_VARIABLE = "ARCHSIM_DATA"
SPLITS = ("train", "valid", "test", "all")


def data_root() -> Path:
    """Return the folder of corpora named by `$ARCHSIM_DATA`."""
    root = os.environ.get(DATA_VARIABLE)
    if not root:
        raise TraceError(
            f"${DATA_VARIABLE} is not set: name the folder that holds the corpora, e.g. imdb/aclImdb_v1.tar.gz; "
            "scripts/prepare_data.py --download fetches them"
        )
    return Path(root)


def check_split(split: str) -> None:
    """Raise TraceError for a split that no corpus has."""
    if split not in SPLITS:
        raise TraceError(f"split {split!r}: accepted: {', '.join(SPLITS)}")


def first_folder(folders: Sequence[Path], holds: Callable[[Path], bool], what: str) -> Path:
    """Return the first folder that holds a corpus; TraceError names `what` is missing and the folders searched."""
    for folder in folders:
        if is_folder(folder) and holds(folder):
            return folder
    raise TraceError(f"{folders[0]}: no {what} in it; looked in {', '.join(str(folder) for folder in folders)}")
