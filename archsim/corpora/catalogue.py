"""Traces by name: bundled ones, splits of corpora under `$ARCHSIM_DATA`, or a file."""

from __future__ import annotations

from pathlib import Path

from archsim.corpora.fsdd import fsdd_trace
from archsim.corpora.imdb import imdb_trace
from archsim.corpora.multi30k import multi30k_trace
from archsim.corpora.roots import SPLITS
from archsim.errors import UnknownNameError
from archsim.files import bundled_folder
from archsim.traceio.files import read_trace
from archsim.traceio.trace import Trace

CORPORA = {"imdb": imdb_trace, "fsdd": fsdd_trace, "multi30k": multi30k_trace}
"""Readers of corpora: split and root folder to a trace."""


def bundled_traces() -> list[str]:
    """Names of the traces installed with the package."""
    return sorted(path.stem for path in bundled_folder("traces").glob("*.npz"))


def corpus_traces() -> list[str]:
    """Names of the splits of corpora, as in `imdb-test`."""
    return [f"{corpus}-{split}" for corpus in CORPORA for split in SPLITS]


def load_trace(name: str | Path) -> Trace:
    """Load a bundled trace or a corpus split by name, or a trace file by path.

    Raises UnknownNameError for a name that is none of these, TraceError for a file that is not a trace.
    """
    if str(name) in bundled_traces():
        return read_trace(bundled_folder("traces") / f"{name}.npz")
    if str(name) in corpus_traces():
        corpus, split = str(name).split("-")
        return CORPORA[corpus](split)
    path = Path(name)
    if path.suffix or path.exists() or len(path.parts) > 1:
        return read_trace(path)
    raise UnknownNameError("trace", str(name), [*bundled_traces(), *corpus_traces()], also="a .npz or .h5 file")
