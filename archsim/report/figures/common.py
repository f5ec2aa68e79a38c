"""What several figures share: names in order, panels of which there is always one, groups of bars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.patheffects import withStroke

from archsim.report.style import SeriesStyle, panels, series_label
from archsim.sums import mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from archsim.report.study import Study

MEAN = "mean"
GREY = "#555555"
EDGE: dict[str, Any] = {"edgecolor": "black", "linewidth": 0.5}
"""Bars have an outline, so that light ones end somewhere in print."""
SMALL = 7
"""Font size of words and numbers inside a panel."""
HALO = [withStroke(linewidth=2, foreground="white")]
"""Keeps a number readable where a line runs through it."""


def names(frame: pd.DataFrame, column: str) -> list[str]:
    """The different values of a column, in the order of their first appearance."""
    return [str(name) for name in dict.fromkeys(frame[column].dropna())]


def panels_or_one(n: int, *, columns: int = 4, width: float = 3.4, height: float = 2.6) -> tuple[Figure, list[Axes]]:
    """`n` panels; where there is nothing to draw, one that says so."""
    figure, axes = panels(max(1, n), columns=columns, width=width, height=height)
    if n == 0:
        nothing_in(axes[0])
    return figure, axes


def nothing_in(axes: Axes) -> None:
    """Say that there are no data, rather than show a frame that looks like a mistake."""
    axes.text(0.5, 0.5, "no data", transform=axes.transAxes, ha="center", va="center", color=GREY)
    axes.set(xticks=[], yticks=[])


def with_mean(table: pd.DataFrame) -> pd.DataFrame:
    """A table of one row a network, and their arithmetic mean; no mean where a network is missing."""
    if len(table) < 2:
        return table
    with_it = table.copy()
    with_it.loc[MEAN] = table.astype(float).apply(mean)
    return with_it


def grouped_bars(
    axes: Axes, table: pd.DataFrame, series_styles: Sequence[SeriesStyle], labels: Sequence[str], shown: str = "{:.0f}"
) -> None:
    """A group of bars a row, a bar a column, the value above it; a rule before the mean."""
    width = 0.8 / max(1, table.shape[1])
    for i, (look, label) in enumerate(zip(series_styles, labels, strict=True)):
        heights = table.iloc[:, i].to_numpy(float)
        at = np.arange(len(table)) + (i - (table.shape[1] - 1) / 2) * width
        bars = axes.bar(at, heights, width, label=series_label(label), color=look.colour, hatch=look.hatch, **EDGE)
        above = ["" if np.isnan(height) else _number(height, shown) for height in heights]
        axes.bar_label(bars, above, padding=2, fontsize=SMALL, path_effects=HALO)
    axes.set_xticks(range(len(table)), [str(name) for name in table.index])
    rest_bars_on_axis(axes)
    if MEAN in table.index:
        axes.axvline(len(table) - 1.5, color=GREY, linewidth=0.6)


def own_baselines(study: Study) -> str:
    """What a caption has to say where machines differ."""
    gains = " Speedup and saving are against the same machine without memoization, which changes too."
    return gains if study.machines_differ else ""


def rest_bars_on_axis(axes: Axes) -> None:
    """Names under the bars need no ticks, and the grid runs behind the bars."""
    axes.set_axisbelow(True)
    axes.tick_params(axis="x", which="both", length=0)
    axes.grid(visible=False, axis="x", which="both")


def _number(value: float, shown: str) -> str:
    """A number with a real minus sign, and none before a zero."""
    text = shown.format(value)
    return (text.removeprefix("-") if float(text) == 0 else text).replace("-", "−")
