"""Figure of the relative change of neurons from one step to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from archsim.report.figures.common import GREY, SMALL, names, panels_or_one
from archsim.report.style import legend_below, series_styles, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from archsim.report.style import SeriesStyle

NAME = "relative-change"
TITLE = "Relative change between consecutive steps"
CAPTION = (
    "Share of all neuron evaluations (left, the exact dot product y) and of all hidden outputs (right, h) that changed "
    "by less than so much since the step before, |now − before| / |now|. Every neuron and step was watched, without "
    "reuse; the dashed line marks 10 %."
)

_RANGE_PERCENT = (0.1, 1000)
_MARKED_PERCENT = 10


@styled()
def draw(frame: pd.DataFrame) -> Figure:
    """Return a figure with one panel per quantity and a line per network, from `Observation.changes()`."""
    quantities, styles = names(frame, "quantity"), series_styles(names(frame, "network"))
    figure, axes = panels_or_one(len(quantities), columns=2)
    for one, quantity in zip(axes, quantities, strict=False):
        for network, counts in frame[frame["quantity"] == quantity].groupby("network", sort=False):
            _draw_cumulated(one, counts, styles[str(network)], str(network))
        _finish(one, quantity)
    for one in axes[len(quantities) :]:
        one.set(xlabel="change since the step before (%)", ylabel="share of evaluations (%)")
    legend_below(figure, axes)
    return figure


def _draw_cumulated(axes: Axes, counts: pd.DataFrame, series: SeriesStyle, label: str) -> None:
    """Draw the cumulative distribution at the upper edge of each bin, with a mark per half decade."""
    edges = counts["high"].to_numpy(float) * 100
    share = counts["count"].cumsum().to_numpy(float) / max(1, counts["count"].sum()) * 100
    shown = (edges >= 0.99 * _RANGE_PERCENT[0]) & np.isfinite(edges)
    style = {"color": series.colour, "linestyle": series.line, "marker": series.marker, "markevery": 10}
    axes.plot(edges[shown], share[shown], label=label, **style)


def _finish(axes: Axes, quantity: str) -> None:
    axes.set_xscale("log")
    ticks = [0.1, 1, 10, 100, 1000]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set(title=quantity, xlim=_RANGE_PERCENT, ylim=(0, 100))
    axes.set(xlabel="change since the step before (%)", ylabel="share of evaluations (%)")
    axes.axvline(_MARKED_PERCENT, color=GREY, linestyle="--", linewidth=0.8, zorder=0)
    axes.text(_MARKED_PERCENT * 0.9, 98, "10 %", ha="right", va="top", fontsize=SMALL, color=GREY)
