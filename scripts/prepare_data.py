"""Make a trace file of a public corpus, read from a folder or an archive in its public layout.

python scripts/prepare_data.py --dataset imdb --root data/imdb --split test -o imdb-test.npz
python scripts/prepare_data.py --dataset fsdd --root data/fsdd --split test -o digits.npz --download
python scripts/prepare_data.py --dataset multi30k --root data/multi30k --split all -o captions.npz

Split `all` takes every review, recording or sentence in the folder, so it also reads other data in the same layout.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.progress import DownloadColumn

from archsim.cli.console import progress_bars
from archsim.cli.exit import exit_code
from archsim.corpora.catalogue import CORPORA
from archsim.corpora.download import HOMES, download
from archsim.corpora.roots import SPLITS
from archsim.errors import TraceError
from archsim.traceio.files import check_trace_path, write_trace


def main() -> None:
    """Read the corpus and write the trace."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", choices=CORPORA, required=True)
    parser.add_argument("--root", type=Path, required=True, help="folder of the corpus; for imdb also its archive")
    parser.add_argument("--split", choices=SPLITS, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True, help="trace file, .npz or .h5")
    homes = ", ".join(home.base_url for home in HOMES.values())
    parser.add_argument("--download", action="store_true", help=f"fetch missing files from {homes}")
    parser.add_argument("--mirror", metavar="URL", help="fetch from this address instead of the public home")
    args = parser.parse_args()
    check_trace_path(args.output)
    try:
        trace = CORPORA[args.dataset](args.split, args.root)
    except TraceError:
        if not (args.download or args.mirror):
            raise
        with progress_bars(DownloadColumn()) as reporter:
            download(args.dataset, args.root, base_url=args.mirror, on_progress=reporter(args.dataset))
        trace = CORPORA[args.dataset](args.split, args.root)
    write_trace(trace, args.output)
    print(f"{args.output}: {len(trace)} sequences")


if __name__ == "__main__":
    sys.exit(exit_code(main, "prepare_data"))
