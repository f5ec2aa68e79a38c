"""How the scripts save figures: text stays text, equal data give equal bytes."""

from __future__ import annotations

from argparse import ArgumentTypeError
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from archsim.files import write_whole

_SVG = {"svg.fonttype": "none", "svg.hashsalt": "archsim"}


def figure_path(text: str) -> Path:
    """Return a path that a figure can be saved to; for argparse."""
    if Path(text).suffix not in (".svg", ".png"):
        raise ArgumentTypeError(f"{text}: accepted suffixes: .svg, .png")
    return Path(text)


def save_figure(figure: Figure, path: Path) -> None:
    """Save in the format of the suffix, whole or not at all."""
    suffix = path.suffix.removeprefix(".")
    with mpl.rc_context(_SVG), write_whole(path) as temporary:
        figure.savefig(temporary, format=suffix, dpi=150, metadata={"Date": None} if suffix == "svg" else None)
