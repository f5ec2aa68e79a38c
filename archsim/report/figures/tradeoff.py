"""Gains against loss of every point of the sweep, with a line through the Pareto front of each policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.figure import Figure

from archsim.experiment.record import LARGE_CHANGE
from archsim.report.figures.common import own_baselines
from archsim.report.labels import label_of
from archsim.report.study import BOUND, GAINS, MAX_LOSS, Study
from archsim.report.style import legend_below, panels, series_label, series_styles, styled, widen_flat_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from archsim.report.style import SeriesStyle

NAME = "tradeoff"
TITLE = "Gain against loss"


def caption(study: Study) -> str:
    """Return the caption of the figure."""
    return _drawn(study) + own_baselines(study)


def _drawn(study: Study) -> str:
    if study.lost == "output_change":
        return (
            "Gains against the change of the outputs. Every mark is a point of the sweep; lines join the points that "
            f"no other point of the policy beats in both. The dotted line is a change of {100 * LARGE_CHANGE:g} %."
        )
    return (
        "Gains against the loss of the metric. Every mark is a point of the sweep; lines join the points that no other "
        f"point of the policy beats in both. The dotted line is a loss of {BOUND:g} point; points that lose more than "
        f"{MAX_LOSS:g} are left out."
    )


@styled()
def draw(study: Study) -> Figure:
    """Draw one row of panels per gain and one column per network."""
    x, bound = study.lost, BOUND if study.lost == "metric_loss" else label_of(study.lost).factor * LARGE_CHANGE
    across = len(study.networks)
    figure, axes = panels(len(GAINS) * across, columns=across, height=2.3, width=max(2.7, 3.8 - 0.3 * across))
    styles = series_styles(study.points["policy"])
    for i, axis in enumerate(axes):
        gain, network = GAINS[i // across], study.networks[i % across]
        data = study.points[study.points["network"] == network].dropna(subset=[x])
        data = data[data[x] <= MAX_LOSS] if x == "metric_loss" else data
        for policy, rows in data.groupby("policy", sort=False):
            _marks(axis, rows, x, gain, styles[str(policy)], str(policy))
        axis.axvline(bound, color="0.4", linestyle=":", linewidth=1)
        widen_flat_axis(axis)
        axis.set(xlabel=label_of(x).axis if i >= across else "", ylabel=label_of(gain).axis if i % across == 0 else "")
        axis.set(title=network if i < across else "")
    legend_below(figure, axes)
    return figure


def _marks(axis: Axes, rows: pd.DataFrame, x: str, gain: str, style: SeriesStyle, label: str) -> None:
    xs, ys = label_of(x).scaled(rows[x]), label_of(gain).scaled(rows[gain])
    mark: dict[str, Any] = {"color": style.colour, "marker": style.marker, "label": series_label(label)}
    axis.scatter(xs, ys, s=16, alpha=0.7, linewidths=0, **mark)
    front = pareto(pd.DataFrame({"x": xs, "y": ys}))
    axis.plot(front["x"], front["y"], color=style.colour, linestyle=style.line, linewidth=1)


def pareto(points: pd.DataFrame) -> pd.DataFrame:
    """Return the Pareto front by rising x: the rows to which no other is better in both smaller x and larger y."""
    ordered = points.sort_values(["x", "y"], ascending=[True, False], kind="stable")
    return ordered[ordered["y"] > ordered["y"].cummax().shift(fill_value=float("-inf"))]
