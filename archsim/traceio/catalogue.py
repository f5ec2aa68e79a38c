"""Traces by name: bundled ones, corpora under `$ARCHSIM_DATA`, or a file."""

from __future__ import annotations

from pathlib import Path

from archsim.errors import UnknownNameError
from archsim.files import bundled_folder
from archsim.traceio.corpora import CORPUS_TRACES, imdb_trace
from archsim.traceio.files import read_trace
from archsim.traceio.trace import Trace


def bundled_traces() -> list[str]:
    """Names of the traces installed with the package."""
    return sorted(path.stem for path in bundled_folder("traces").glob("*.npz"))


def load_trace(name: str | Path) -> Trace:
    """Load a bundled trace or a corpus split by name, or a trace file by path.

    Raises UnknownNameError for a name that is none of these, TraceError for a file that is not a trace.
    """
    if str(name) in bundled_traces():
        return read_trace(bundled_folder("traces") / f"{name}.npz")
    if str(name) in CORPUS_TRACES:
        return imdb_trace(CORPUS_TRACES[str(name)])
    path = Path(name)
    if path.suffix or path.exists() or len(path.parts) > 1:
        return read_trace(path)
    raise UnknownNameError("trace", str(name), [*bundled_traces(), *CORPUS_TRACES], also="a .npz or .h5 file")
