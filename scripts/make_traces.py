"""Build the bundled traces in traces/ from their project-made sources beside them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from archsim.cli.exit import exit_code
from archsim.traceio.files import write_trace
from archsim.traceio.trace import Trace

TRACES = Path(__file__).parent.parent / "traces"
LABELS = {"neg": 0, "pos": 1}


def imdb_reviews() -> Trace:
    """Movie reviews of films that do not exist, one a line: `pos` or `neg`, a tab, the text."""
    lines = (TRACES / "imdb-lstm.tsv").read_text("utf-8").splitlines()
    pairs = [line.split("\t", 1) for line in lines]
    trace = Trace.from_texts([text for _, text in pairs], [LABELS[label] for label, _ in pairs], name="imdb-lstm")
    return trace.described(
        "movie reviews of 60 to 200 words, half positive (1), half negative (0)",
        "written for archsim, of films that do not exist; scripts/make_traces.py from traces/imdb-lstm.tsv",
    )


def main() -> None:
    """Write every bundled trace."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    for trace in (imdb_reviews(),):
        write_trace(trace, TRACES / f"{trace.name}.npz")
        print(f"{trace.name}: {len(trace)} sequences")


if __name__ == "__main__":
    sys.exit(exit_code(main, "make_traces"))
