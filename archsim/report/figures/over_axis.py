"""Figures of merit over one numeric axis of the sweep, with one row per merit and one column per network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.figure import Figure

from archsim.report.figures.common import own_baselines
from archsim.report.labels import label_of
from archsim.report.study import MAX_LOSS, Study
from archsim.report.style import legend_below, line, panels, series_styles, styled, widen_flat_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from archsim.report.style import SeriesStyle

MAX_TICKS = 6
COLUMNS_OF_ONE_NETWORK = 3
"""Panels per row if there is one network."""
LOG_FROM = 12
"""Largest ratio of the values on a linear axis; beyond it the axis is logarithmic."""


def name(x: str) -> str:
    """Return the stem of the figure's file names."""
    return f"over-{x.replace('.', '-')}"


def caption(study: Study, x: str) -> str:
    """Return the caption of the figure."""
    data, held = study.over(x)
    rest = " Other axes are held at the best point of each network and policy (table below)." if held else ""
    if "metric_loss" in _changing(study, data):
        rest += f" Bands: 95 % of resampled traces; losses above {MAX_LOSS:g} points are not shown."
    left_out = " Figures that do not change are left out."
    return f"Over {label_of(x).axis}, by network and policy.{rest}{left_out}{own_baselines(study)}"


@styled()
def draw(study: Study, x: str) -> Figure:
    """Draw one panel per merit and network, without merits that do not change."""
    data, _ = study.over(x)
    changing, across = _changing(study, data), len(study.networks)
    columns = across if across > 1 else COLUMNS_OF_ONE_NETWORK
    figure, axes = panels(len(changing) * across, columns=columns, height=2.1, width=max(2.7, 3.8 - 0.3 * columns))
    styles = series_styles(data["series"])
    for i, axis in enumerate(axes):
        merit, network = changing[i // across], study.networks[i % across]
        _panel(axis, data[data["network"] == network], x, merit, styles)
        axis.set(xlabel=label_of(x).axis if i + columns >= len(axes) else "")
        axis.set(ylabel=label_of(merit).axis if i % across == 0 else "", title=network if i < across > 1 else "")
    if across == 1:
        figure.suptitle(study.networks[0])
    legend_below(figure, axes)
    return figure


def _changing(study: Study, data: pd.DataFrame) -> list[str]:
    groups = data.groupby(["network", "series"])
    return [merit for merit in study.merits if groups[merit].nunique().max() > 1] or ["energy_saving"]


def _panel(axis: Axes, data: pd.DataFrame, x: str, merit: str, styles: dict[str, SeriesStyle]) -> None:
    label, along = label_of(merit), label_of(x)
    for series, rows in data.groupby("series", sort=False):
        style, ordered = styles[str(series)], rows.astype({x: float}).sort_values(x)
        line(axis, along.scaled(ordered[x]), label.scaled(ordered[merit]), style, str(series))
        if merit == "metric_loss":
            low, high = (ordered[f"{merit}_{end}"].astype(float) for end in ("low", "high"))
            axis.fill_between(along.scaled(ordered[x]), low, high, color=style.colour, alpha=0.12, linewidth=0)
    if merit == "metric_loss" and axis.get_ylim()[1] > MAX_LOSS:
        axis.set_ylim(max(axis.get_ylim()[0], -MAX_LOSS / 2), MAX_LOSS)
    widen_flat_axis(axis)
    _ticks(axis, sorted(along.scaled(data[x]).unique()))


def _ticks(axis: Axes, values: list[float]) -> None:
    """Set the ticks to the values if there are few, and a logarithmic scale if they span a wide range."""
    if values and values[0] > 0 and values[-1] / values[0] > LOG_FROM:
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter("{x:g}")
        axis.set_xticks([], minor=True)
    if len(values) <= MAX_TICKS:
        axis.set_xticks(values, [f"{value:g}" for value in values])
