"""Traces by name: bundled ones, splits of corpora under `$ARCHSIM_DATA`, or a file."""

from __future__ import annotations

from pathlib import Path

from archsim.corpora.digits import fsdd_trace
from archsim.corpora.imdb import imdb_trace
from archsim.corpora.multi30k import multi30k_trace
from archsim.corpora.roots import SPLITS, check_split
from archsim.errors import TraceError, UnknownNameError
from archsim.files import bundled_folder
from archsim.ir.network import Network
from archsim.reading import is_there
from archsim.traceio.files import read_trace
from archsim.traceio.trace import Trace

CORPORA = {"imdb": imdb_trace, "fsdd": fsdd_trace, "multi30k": multi30k_trace}
"""Readers of corpora: functions from a split and a root folder to a trace."""


def bundled_traces() -> list[str]:
    """Return the names of the traces installed with the package."""
    return sorted(path.stem for path in bundled_folder("traces").glob("*.npz"))


def corpus_traces() -> list[str]:
    """Return the names of the splits of corpora, such as `imdb-test`."""
    return [f"{corpus}-{split}" for corpus in CORPORA for split in SPLITS]


def trace_of(network: Network, split: str | None = None) -> Trace:
    """Load a network's default trace, or a split of its corpus; TraceError if the network names none."""
    if split is not None:
        check_split(split)
        if network.corpus is None:
            raise TraceError(f"{network.name} names no corpus: give a --trace instead of --split {split}")
        return load_trace(f"{network.corpus}-{split}")
    if network.default_trace is None:
        raise TraceError(f"{network.name} has no trace of its own: name one with --trace")
    return load_trace(network.default_trace)


def load_trace(name: str | Path) -> Trace:
    """Load a bundled trace or a corpus split by name, or a trace file by path.

    Raises UnknownNameError for a name that is none of these, TraceError for a file that is not a trace.
    """
    if str(name) in bundled_traces():
        return read_trace(bundled_folder("traces") / f"{name}.npz")
    if str(name) in corpus_traces():
        corpus, split = str(name).split("-")
        return CORPORA[corpus](split)
    if not isinstance(name, str | Path):
        raise TraceError(f"load_trace: got a {type(name).__name__}, need a name or a path")
    path = Path(name)
    if path.suffix or is_there(path) or len(path.parts) > 1:
        return read_trace(path)
    raise UnknownNameError("trace", str(name), [*bundled_traces(), *corpus_traces()], also="a .npz or .h5 file")
