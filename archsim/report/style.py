"""How every figure looks: colours the colour-blind tell apart, marks and hatches for print in grey."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any
from warnings import catch_warnings, filterwarnings, simplefilter

import matplotlib as mpl
from matplotlib.figure import Figure

from archsim.errors import UsageError
from archsim.files import write_whole

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

# Okabe and Ito, Color Universal Design, 2008; ordered so that neighbours differ in lightness too.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000", "#8a8a8a")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (3, 3)), (0, (8, 2)))
HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx", "----", "++++", "oooo")
PANEL_INCHES = (3.4, 2.6)
DPI = 150
SUFFIXES = (".svg", ".png")
INCHES_PER_CHARACTER, KEY_INCHES = 0.07, 0.6
"""Size of a legend's entry, roughly."""

_STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
    "figure.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "lines.markersize": 4,
    "axes.formatter.useoffset": False,
    "text.parse_math": False,  # a $ in somebody's name is a $
    "legend.frameon": False,
    "legend.fontsize": 8,
    "hatch.linewidth": 0.5,
    "figure.facecolor": "white",
    "svg.fonttype": "path",  # looks the same where the font is missing
    "svg.hashsalt": "archsim",  # equal data give equal bytes
}


@dataclass(frozen=True)
class SeriesStyle:
    """How one series is told from the others, in colour and without."""

    colour: str
    marker: str
    line: Any
    hatch: str


def series_styles(names: Iterable[str]) -> dict[str, SeriesStyle]:
    """A look for each name, in order; colours come again after the eighth, with another mark, line and hatch."""
    n, found = len(COLOURS), {}
    for i, name in enumerate(dict.fromkeys(names)):
        j = (i + i // n) % n
        found[name] = SeriesStyle(COLOURS[i % n], MARKERS[j], LINES[j], HATCHES[j])
    return found


@contextmanager
def styled() -> Iterator[None]:
    """Figures made and saved inside look alike, whatever a matplotlibrc, a style sheet or the caller has set."""
    with mpl.rc_context():
        with catch_warnings():
            simplefilter("ignore", mpl.MatplotlibDeprecationWarning)
            mpl.rcParams.update({key: value for key, value in mpl.rcParamsDefault.items() if key != "backend"})
        mpl.rcParams.update(_STYLE)
        yield


def panels(
    n: int, *, columns: int = 4, width: float = PANEL_INCHES[0], height: float = PANEL_INCHES[1]
) -> tuple[Figure, list[Axes]]:
    """A figure of `n` panels in rows of at most `columns`; sizes in inches a panel."""
    across = min(n, columns)
    down = -(-n // across)
    figure = Figure(figsize=(width * across, height * down), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False).ravel().tolist()
    for spare in axes[n:]:
        spare.remove()
    return figure, axes[:n]


def series_label(name: str) -> str:
    """Return a name as the label of a series: matplotlib leaves out of a legend what begins with an underscore."""
    return f" {name}" if name.startswith("_") else name


def line(axes: Axes, x: pd.Series[Any], y: pd.Series[Any], look: SeriesStyle, label: str) -> None:
    """One series as marks joined by a line."""
    axes.plot(x, y, color=look.colour, marker=look.marker, linestyle=look.line, label=series_label(label))


def legend_below(figure: Figure, axes: Iterable[Axes]) -> None:
    """One legend for all panels, each name once; names too long for the figure are folded."""
    found: dict[str, Any] = {}
    for one in axes:
        for handle, label in zip(*one.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    if found:
        most = int((figure.get_figwidth() - KEY_INCHES) / INCHES_PER_CHARACTER)
        entry_inches = INCHES_PER_CHARACTER * min(most, max(map(len, found))) + KEY_INCHES
        columns = max(1, min(len(found), int(figure.get_figwidth() / entry_inches)))
        folded = [fill(label, most) for label in found]
        figure.legend(list(found.values()), folded, loc="outside lower center", ncols=columns)


def at_least(axes: Axes, share: float = 0.02) -> None:
    """Widen the y axis to a share of its values, so that next to nothing does not look like a cliff."""
    low, high = axes.get_ylim()
    lacking = share * max(abs(low), abs(high)) - (high - low)
    if lacking > 0:
        axes.set_ylim(low - lacking / 2, high + lacking / 2)


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Save as .svg and .png, whole or not at all."""
    paths = [folder / f"{name}{suffix}" for suffix in SUFFIXES]
    for path in paths:
        save_as(figure, path)
    return paths


def save_as(figure: Figure, path: Path) -> None:
    """Save in the format of the suffix; UsageError for any but .svg and .png."""
    if path.suffix not in SUFFIXES:
        raise UsageError(f"{path}: accepted suffixes: {', '.join(SUFFIXES)}")
    undated = {"Date": None} if path.suffix == ".svg" else {"Software": None}
    with styled(), catch_warnings(), write_whole(path) as temporary:
        filterwarnings("ignore", "Glyph .* missing from")  # a name in a script that the font lacks shows boxes
        figure.savefig(temporary, format=path.suffix[1:], dpi=DPI, metadata=undated)
