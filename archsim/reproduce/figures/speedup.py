"""Figure of the speedup by network and policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archsim.paper import AVERAGES
from archsim.report.figures.common import GREY, grouped_bars, names, panels_or_one, with_mean
from archsim.report.labels import LABELS
from archsim.report.style import legend_below, series_styles, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAME = "speedup"
TITLE = "Speedup over the machine without memoization"
CAPTION = (
    "Simulated time without memoization divided by the time with it, same network, trace and machine. The mean is the "
    f"arithmetic mean over the networks; the dashed line is the mean the paper reports, {AVERAGES.speedup}x."
)


@styled()
def draw(frame: pd.DataFrame) -> Figure:
    """Return a figure with a group of bars per network, from one row per network and policy."""
    networks, policies = names(frame, "network"), names(frame, "policy")
    width = max(3.4, (0.35 * len(policies) + 0.35) * (len(networks) + 1) + 0.6)
    figure, axes = panels_or_one(min(1, len(networks)), width=width)
    if networks:
        _draw_bars(axes[0], frame, networks, policies)
    axes[0].set(xlabel="network", ylabel=LABELS["speedup"].axis)
    legend_below(figure, axes)
    return figure


def _draw_bars(axes: Axes, frame: pd.DataFrame, networks: list[str], policies: list[str]) -> None:
    table = frame.pivot(index="network", columns="policy", values="speedup").reindex(networks, columns=policies)
    grouped_bars(axes, with_mean(table.astype(float)), list(series_styles(policies).values()), policies, "{:.2f}")
    axes.axhline(1, color="black", linewidth=0.8, zorder=0)
    axes.axhline(AVERAGES.speedup, color=GREY, linestyle="--", linewidth=1, zorder=0, label="mean in the paper")
    axes.margins(y=0.1)
