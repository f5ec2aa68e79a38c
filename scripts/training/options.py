"""The command line that the training scripts share."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

Flag = tuple[str, float | int, str]
"""An option, its default (which also gives its type), and what it means."""


def training_parser(doc: str | None) -> argparse.ArgumentParser:
    """Return a parser with the folders of a training run on public corpora."""
    parser = output_parser(doc)
    home = os.environ.get("ARCHSIM_DATA")
    required = home is None
    parser.add_argument(
        "--data", type=Path, default=home, required=required, help="folder of corpora (default: $ARCHSIM_DATA)"
    )
    return parser


def output_parser(doc: str | None) -> argparse.ArgumentParser:
    """Return a parser with what a training run writes."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for weights, checkpoint, history")
    parser.add_argument("--resume", action="store_true", help="go on from OUTPUT/checkpoint.pt")
    return parser


def parse_with(parser: argparse.ArgumentParser, flags: Sequence[Flag]) -> argparse.Namespace:
    """Add a recipe's flags, each help text naming its default, and read the command line."""
    for flag, default, text in flags:
        parser.add_argument(flag, type=type(default), default=default, help=f"{text} (default: %(default)s)")
    return parser.parse_args()
