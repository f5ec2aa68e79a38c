"""Make a trace file of a public corpus: a folder or archive in its public layout.

python scripts/prepare_data.py --dataset imdb --root data --split test -o imdb-test.npz
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from archsim.cli.exit import exit_code
from archsim.corpora.catalogue import CORPORA
from archsim.corpora.roots import SPLITS
from archsim.files import check_writable
from archsim.traceio.files import write_trace


def main() -> None:
    """Read the corpus and write the trace."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", choices=CORPORA, required=True)
    parser.add_argument("--root", type=Path, required=True, help="folder that holds the corpus, or its archive")
    parser.add_argument("--split", choices=SPLITS, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True, help="trace file, .npz or .h5")
    args = parser.parse_args()
    check_writable(args.output)
    trace = CORPORA[args.dataset](args.split, args.root)
    write_trace(trace, args.output)
    print(f"{args.output}: {len(trace)} sequences")


if __name__ == "__main__":
    sys.exit(exit_code(main, "prepare_data"))
