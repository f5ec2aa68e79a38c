"""Each figure of merit over one numeric axis of the sweep: a row a merit, a column a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.figure import Figure

from archsim.report.labels import label_of
from archsim.report.study import MOST_LOSS, Study
from archsim.report.style import legend_below, looks, panels, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from archsim.report.style import Look

MOST_TICKS = 6
LOG_FROM = 12
"""An axis whose values span more than this factor is logarithmic."""


def name(x: str) -> str:
    """Stem of the figure's files."""
    return f"over-{x.replace('.', '-')}"


def caption(study: Study, x: str) -> str:
    """What is drawn."""
    data, held = study.over(x)
    rest = " Other axes as at the best point of each network and policy." if held else ""
    if "metric_loss" in _moving(study, data):
        rest += f" Bands: 95 % of resampled traces; losses above {MOST_LOSS:g} points are off the picture."
    return f"Over {label_of(x).axis}, by network and policy.{rest} What does not change is left out."


@styled()
def draw(study: Study, x: str) -> Figure:
    """One panel a merit and network; merits that do not move are left out."""
    data, _ = study.over(x)
    moving, across = _moving(study, data), len(study.networks)
    figure, axes = panels(len(moving) * across, columns=across, height=2.1, width=max(2.7, 3.8 - 0.3 * across))
    style = looks(data["series"])
    for row, merit in enumerate(moving):
        for column, network in enumerate(study.networks):
            axis = axes[row * across + column]
            _panel(axis, data[data["network"] == network], x, merit, style)
            axis.set(xlabel=label_of(x).axis if row == len(moving) - 1 else "")
            axis.set(ylabel=label_of(merit).axis if column == 0 else "", title=network if row == 0 else "")
    legend_below(figure, axes)
    return figure


def _moving(study: Study, data: pd.DataFrame) -> list[str]:
    groups = data.groupby(["network", "series"])
    return [merit for merit in study.merits if groups[merit].nunique().max() > 1] or ["energy_saving"]


def _panel(axis: Axes, data: pd.DataFrame, x: str, merit: str, style: dict[str, Look]) -> None:
    label = label_of(merit)
    for series, rows in data.groupby("series", sort=False):
        look, ordered = style[str(series)], rows.astype({x: float}).sort_values(x)
        axis.plot(
            ordered[x],
            label.scaled(ordered[merit]),
            color=look.colour,
            marker=look.marker,
            linestyle=look.line,
            label=series,
        )
        if merit == "metric_loss":
            low, high = (ordered[f"{merit}_{end}"].astype(float) for end in ("low", "high"))
            axis.fill_between(ordered[x], low, high, color=look.colour, alpha=0.12, linewidth=0)
    if merit == "metric_loss" and axis.get_ylim()[1] > MOST_LOSS:
        axis.set_ylim(max(axis.get_ylim()[0], -MOST_LOSS / 2), MOST_LOSS)
    values = sorted(data[x].astype(float).unique())
    if values and values[0] > 0 and values[-1] / values[0] > LOG_FROM:
        axis.set_xscale("log")
        if len(values) <= MOST_TICKS:
            axis.set_xticks(values, [f"{value:g}" for value in values])
            axis.set_xticks([], minor=True)
