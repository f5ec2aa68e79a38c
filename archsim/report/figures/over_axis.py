"""Each figure of merit over one numeric axis of the sweep: a row a merit, a column a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.figure import Figure

from archsim.report.figures.common import own_baselines
from archsim.report.labels import label_of
from archsim.report.study import MOST_LOSS, Study
from archsim.report.style import at_least, legend_below, line, panels, series_styles, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from archsim.report.style import SeriesStyle

MOST_TICKS = 6
ALONE = 3
"""Panels side by side where there is one network."""
LOG_FROM = 12
"""An axis whose values span more than this factor is logarithmic."""


def name(x: str) -> str:
    """Stem of the figure's files."""
    return f"over-{x.replace('.', '-')}"


def caption(study: Study, x: str) -> str:
    """What is drawn."""
    data, held = study.over(x)
    rest = " Other axes as at the best point of each network and policy (table below)." if held else ""
    if "metric_loss" in _moving(study, data):
        rest += f" Bands: 95 % of resampled traces; losses above {MOST_LOSS:g} points are off the picture."
    return (
        f"Over {label_of(x).axis}, by network and policy.{rest} What does not change is left out.{own_baselines(study)}"
    )


@styled()
def draw(study: Study, x: str) -> Figure:
    """One panel a merit and network; merits that do not move are left out."""
    data, _ = study.over(x)
    moving, across = _moving(study, data), len(study.networks)
    columns = across if across > 1 else ALONE
    figure, axes = panels(len(moving) * across, columns=columns, height=2.1, width=max(2.7, 3.8 - 0.3 * columns))
    style = series_styles(data["series"])
    for i, axis in enumerate(axes):
        merit, network = moving[i // across], study.networks[i % across]
        _panel(axis, data[data["network"] == network], x, merit, style)
        axis.set(xlabel=label_of(x).axis if i + columns >= len(axes) else "")
        axis.set(ylabel=label_of(merit).axis if i % across == 0 else "", title=network if i < across > 1 else "")
    if across == 1:
        figure.suptitle(study.networks[0])
    legend_below(figure, axes)
    return figure


def _moving(study: Study, data: pd.DataFrame) -> list[str]:
    groups = data.groupby(["network", "series"])
    return [merit for merit in study.merits if groups[merit].nunique().max() > 1] or ["energy_saving"]


def _panel(axis: Axes, data: pd.DataFrame, x: str, merit: str, style: dict[str, SeriesStyle]) -> None:
    label, along = label_of(merit), label_of(x)
    for series, rows in data.groupby("series", sort=False):
        look, ordered = style[str(series)], rows.astype({x: float}).sort_values(x)
        line(axis, along.scaled(ordered[x]), label.scaled(ordered[merit]), look, str(series))
        if merit == "metric_loss":
            low, high = (ordered[f"{merit}_{end}"].astype(float) for end in ("low", "high"))
            axis.fill_between(along.scaled(ordered[x]), low, high, color=look.colour, alpha=0.12, linewidth=0)
    if merit == "metric_loss" and axis.get_ylim()[1] > MOST_LOSS:
        axis.set_ylim(max(axis.get_ylim()[0], -MOST_LOSS / 2), MOST_LOSS)
    at_least(axis)
    _ticks(axis, sorted(along.scaled(data[x]).unique()))


def _ticks(axis: Axes, values: list[float]) -> None:
    """Where there are few values, they are the ticks."""
    if values and values[0] > 0 and values[-1] / values[0] > LOG_FROM:
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter("{x:g}")
        axis.set_xticks([], minor=True)
    if len(values) <= MOST_TICKS:
        axis.set_xticks(values, [f"{value:g}" for value in values])
