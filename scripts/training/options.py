"""Command-line options shared by the training scripts."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

Flag = tuple[str, float | int, str]
"""Name, default (which also gives the type) and meaning of an option."""


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
    """Return a parser with the output options of a training run."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for weights, checkpoint, history")
    parser.add_argument("--resume", action="store_true", help="continue from OUTPUT/checkpoint.pt")
    return parser


def parse_with(parser: argparse.ArgumentParser, flags: Sequence[Flag]) -> argparse.Namespace:
    """Add the flags of a recipe, with defaults in their help texts, and return the parsed command line."""
    for flag, default, text in flags:
        parser.add_argument(flag, type=type(default), default=default, help=f"{text} (default: %(default)s)")
    return parser.parse_args()
