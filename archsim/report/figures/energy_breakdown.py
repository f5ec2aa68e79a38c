"""Energy by part of the machine, with and without reuse."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from archsim.report.figures.common import EDGE, SMALL, format_bar_axis, names, panels_or_one
from archsim.report.style import legend_below, series_styles, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAME = "energy-breakdown"
TITLE = "Energy by where it goes"
CAPTION = (
    "Energy of the machine without memoization (left bar) and with it (right bar), the sum of all counted actions and "
    "of leakage over the simulated time, by part of the machine; 100 % is the energy without memoization."
)

BUCKETS = {
    "scratchpad": "scratchpads",
    "operations": "operations",
    "dram": "main memory",
    "memo": "memoization unit",
    "static": "leakage",
}
_SIDES = {"baseline": "without", "policy": "with"}
_WIDTH = 0.36


@styled()
def draw(frame: pd.DataFrame) -> Figure:
    """Draw two stacked bars per network from rows of energy tables."""
    networks = names(frame, "network")
    width = max(3.4, 1.2 * len(networks) + 0.6)
    figure, axes = panels_or_one(min(1, len(networks)), width=width, height=3.2)
    if networks:
        _draw_bars(axes[0], _percents(frame), networks)
    axes[0].set(xlabel="network, without and with memoization", ylabel="energy (%)")
    legend_below(figure, axes)
    return figure


def _percents(frame: pd.DataFrame) -> pd.DataFrame:
    """Return energy in percent of the baseline, with one row per network and side and one column per bucket."""
    joules = frame.pivot_table(index=["network", "side"], columns="bucket", values="joules", aggfunc=math.fsum).fillna(
        0
    )
    totals = joules.apply(math.fsum, axis=1).xs("baseline", level="side")
    percents = joules.div(totals, axis=0, level="network") * 100
    return percents.reindex(columns=[bucket for bucket in BUCKETS if bucket in percents])


def _draw_bars(axes: Axes, percents: pd.DataFrame, networks: list[str]) -> None:
    bars = [(network, side) for network in networks for side in _SIDES]
    at = np.array([i // 2 + (i % 2 - 0.5) * 1.15 * _WIDTH for i in range(len(bars))])
    heights, styles, bottom = percents.reindex(bars).fillna(0), series_styles(BUCKETS), np.zeros(len(bars))
    for bucket in percents.columns:
        style = {"label": BUCKETS[bucket], "color": styles[bucket].colour, "hatch": styles[bucket].hatch, **EDGE}
        axes.bar(at, heights[bucket], _WIDTH, bottom=bottom, **style)
        bottom = bottom + heights[bucket].to_numpy(float)
    for x, total in zip(at, bottom, strict=True):
        axes.text(x, total + 1, f"{total:.0f}", ha="center", va="bottom", fontsize=SMALL)
    axes.set_xticks(at, [_SIDES[side] for _, side in bars], minor=True, fontsize=SMALL)
    axes.set_xticks(range(len(networks)), networks)
    axes.tick_params(axis="x", which="major", pad=14)
    format_bar_axis(axes)
    axes.margins(y=0.08)
