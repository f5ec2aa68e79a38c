"""Style of all figures: colours for colour-blind readers, markers and hatches for print in grey."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
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

# Okabe and Ito, Color Universal Design, 2008, in an order in which neighbours also differ in lightness.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000", "#8a8a8a")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (3, 3)), (0, (8, 2)))
HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx", "----", "++++", "oooo")
PANEL_INCHES = (3.4, 2.6)
DPI = 150
SUFFIXES = (".svg", ".png")
INCHES_PER_CHARACTER, KEY_INCHES = 0.07, 0.6
"""Approximate size of a legend entry, per character and for its key."""

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
    "text.parse_math": False,  # a $ in a name is shown as a $
    "legend.frameon": False,
    "legend.fontsize": 8,
    "hatch.linewidth": 0.5,
    "figure.facecolor": "white",
    "svg.fonttype": "path",  # looks the same without the font
    "svg.hashsalt": "archsim",  # equal data then give equal bytes
}


@dataclass(frozen=True)
class SeriesStyle:
    """Colour, marker, line and hatch that distinguish a series with and without colour."""

    colour: str
    marker: str
    line: Any
    hatch: str


def series_styles(names: Iterable[str]) -> dict[str, SeriesStyle]:
    """Return a style per name, in order; after eight names colours repeat with another marker, line and hatch."""
    n, styles = len(COLOURS), {}
    for i, name in enumerate(dict.fromkeys(names)):
        j = (i + i // n) % n
        styles[name] = SeriesStyle(COLOURS[i % n], MARKERS[j], LINES[j], HATCHES[j])
    return styles


@contextmanager
def styled() -> Iterator[None]:
    """Set the style of figures made and saved inside, independent of matplotlibrc, style sheets and the caller."""
    with mpl.rc_context():
        with catch_warnings():
            simplefilter("ignore", mpl.MatplotlibDeprecationWarning)
            mpl.rcParams.update({key: value for key, value in mpl.rcParamsDefault.items() if key != "backend"})
        mpl.rcParams.update(_STYLE)
        yield


def panels(
    n: int, *, columns: int = 4, width: float = PANEL_INCHES[0], height: float = PANEL_INCHES[1]
) -> tuple[Figure, list[Axes]]:
    """Return a figure of `n` panels in rows of at most `columns`; sizes are in inches per panel."""
    across = min(n, columns)
    down = -(-n // across)
    figure = Figure(figsize=(width * across, height * down), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False).ravel().tolist()
    for spare in axes[n:]:
        spare.remove()
    return figure, axes[:n]


def series_label(name: str) -> str:
    """Return a name as a label; a space precedes an underscore, which would hide the series from the legend."""
    return f" {name}" if name.startswith("_") else name


def line(axes: Axes, x: pd.Series[Any], y: pd.Series[Any], style: SeriesStyle, label: str) -> None:
    """Draw one series as markers joined by a line."""
    axes.plot(x, y, color=style.colour, marker=style.marker, linestyle=style.line, label=series_label(label))


def legend_below(figure: Figure, axes: Iterable[Axes]) -> None:
    """Draw one legend for all panels, with each name once; fold names too long for the figure."""
    handles: dict[str, Any] = {}
    for panel in axes:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    if handles:
        max_characters = int((figure.get_figwidth() - KEY_INCHES) / INCHES_PER_CHARACTER)
        entry_inches = INCHES_PER_CHARACTER * min(max_characters, max(map(len, handles))) + KEY_INCHES
        columns = max(1, min(len(handles), int(figure.get_figwidth() / entry_inches)))
        folded = [fill(label, max_characters) for label in handles]
        figure.legend(list(handles.values()), folded, loc="outside lower center", ncols=columns)


def widen_flat_axis(axes: Axes, share: float = 0.02) -> None:
    """Widen the y axis to a share of its values, so that a tiny change does not look like a large one."""
    low, high = axes.get_ylim()
    lacking = share * max(abs(low), abs(high)) - (high - low)
    if lacking > 0:
        axes.set_ylim(low - lacking / 2, high + lacking / 2)


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Save a figure as .svg and .png, each atomically, and return the paths."""
    paths = [folder / f"{name}{suffix}" for suffix in SUFFIXES]
    for path in paths:
        save_as(figure, path)
    return paths


def save_as(figure: Figure, path: Path) -> None:
    """Save a figure in the format of the suffix; raise UsageError for a suffix other than .svg and .png."""
    if path.suffix not in SUFFIXES:
        raise UsageError(f"{path}: accepted suffixes: {', '.join(SUFFIXES)}")
    with write_whole(path) as temporary:
        _draw(figure, temporary, path.suffix)


def svg_bytes(figure: Figure) -> bytes:
    """Return a figure as the bytes of an .svg file."""
    drawn = BytesIO()
    _draw(figure, drawn, ".svg")
    return drawn.getvalue()


def _draw(figure: Figure, target: Path | BytesIO, suffix: str) -> None:
    undated = {"Date": None} if suffix == ".svg" else {"Software": None}
    with styled(), catch_warnings():
        filterwarnings("ignore", "Glyph .* missing from")  # characters that the font lacks are shown as boxes
        figure.savefig(target, format=suffix[1:], dpi=DPI, metadata=undated)
