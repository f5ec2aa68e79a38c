"""Parts shared by several figures: names in order, panels, groups of bars."""

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
"""Outline of bars, which makes the edge of light ones visible in print."""
SMALL = 7
"""Font size of words and numbers inside a panel."""
HALO = [withStroke(linewidth=2, foreground="white")]
"""Outline of numbers, which keeps them readable on top of lines."""


def names(frame: pd.DataFrame, column: str) -> list[str]:
    """Return the distinct values of a column in the order of their first occurrence."""
    return [str(name) for name in dict.fromkeys(frame[column].dropna())]


def panels_or_one(n: int, *, columns: int = 4, width: float = 3.4, height: float = 2.6) -> tuple[Figure, list[Axes]]:
    """Return a figure with `n` panels, or with one that says `no data` if `n` is 0."""
    figure, axes = panels(max(1, n), columns=columns, width=width, height=height)
    if n == 0:
        mark_empty(axes[0])
    return figure, axes


def mark_empty(axes: Axes) -> None:
    """Write `no data` into a panel, because an empty frame looks like an error."""
    axes.text(0.5, 0.5, "no data", transform=axes.transAxes, ha="center", va="center", color=GREY)
    axes.set(xticks=[], yticks=[])


def with_mean(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table (one row per network) with the arithmetic mean added; NaN if a value is missing."""
    if len(table) < 2:
        return table
    result = table.copy()
    result.loc[MEAN] = table.astype(float).apply(mean)
    return result


def grouped_bars(
    axes: Axes, table: pd.DataFrame, styles: Sequence[SeriesStyle], labels: Sequence[str], shown: str = "{:.0f}"
) -> None:
    """Draw one group of bars per row and one bar per column, its value above it, and a rule before the mean."""
    width = 0.8 / max(1, table.shape[1])
    for i, (style, label) in enumerate(zip(styles, labels, strict=True)):
        heights = table.iloc[:, i].to_numpy(float)
        at = np.arange(len(table)) + (i - (table.shape[1] - 1) / 2) * width
        bars = axes.bar(at, heights, width, label=series_label(label), color=style.colour, hatch=style.hatch, **EDGE)
        above = ["" if np.isnan(height) else _number(height, shown) for height in heights]
        axes.bar_label(bars, above, padding=2, fontsize=SMALL, path_effects=HALO)
    axes.set_xticks(range(len(table)), [str(name) for name in table.index])
    format_bar_axis(axes)
    if MEAN in table.index:
        axes.axvline(len(table) - 1.5, color=GREY, linewidth=0.6)


def own_baselines(study: Study) -> str:
    """Return the sentence that a caption needs if machines differ, or an empty text."""
    gains = " Speedup and saving are against the same machine without memoization, which changes too."
    return gains if study.machines_differ else ""


def format_bar_axis(axes: Axes) -> None:
    """Remove the ticks under bars and put the grid behind them."""
    axes.set_axisbelow(True)
    axes.tick_params(axis="x", which="both", length=0)
    axes.grid(visible=False, axis="x", which="both")


def _number(value: float, shown: str) -> str:
    """Return a number with a typographic minus sign, but without one before zero."""
    text = shown.format(value)
    return (text.removeprefix("-") if float(text) == 0 else text).replace("-", "−")
