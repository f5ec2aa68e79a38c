"""What is gained against what is lost: every point of the sweep, and the best of each policy joined by a line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.figure import Figure

from archsim.experiment.record import LARGE_CHANGE
from archsim.report.figures.common import own_baselines
from archsim.report.labels import label_of
from archsim.report.study import BOUND, GAINS, MOST_LOSS, Study
from archsim.report.style import at_least, legend_below, panels, series_label, series_styles, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from archsim.report.style import SeriesStyle

NAME = "tradeoff"
TITLE = "What is gained, what is lost"


def caption(study: Study) -> str:
    """What is drawn."""
    return _drawn(study) + own_baselines(study)


def _drawn(study: Study) -> str:
    if study.lost == "output_change":
        return (
            "Gains against the change of the outputs; every mark is a point of the sweep, lines join those that no "
            f"other point of the policy beats in both. The dotted line is a change of {100 * LARGE_CHANGE:g} %."
        )
    return (
        f"Gains against the loss of the metric; every mark is a point of the sweep, lines join those that no other "
        f"point of the policy beats in both. The dotted line is a loss of {BOUND:g} point; what loses more than "
        f"{MOST_LOSS:g} is left out."
    )


@styled()
def draw(study: Study) -> Figure:
    """A row a gain, a column a network."""
    x, bound = study.lost, BOUND if study.lost == "metric_loss" else label_of(study.lost).factor * LARGE_CHANGE
    across = len(study.networks)
    figure, axes = panels(len(GAINS) * across, columns=across, height=2.3, width=max(2.7, 3.8 - 0.3 * across))
    style = series_styles(study.points["policy"])
    for i, axis in enumerate(axes):
        gain, network = GAINS[i // across], study.networks[i % across]
        data = study.points[study.points["network"] == network].dropna(subset=[x])
        data = data[data[x] <= MOST_LOSS] if x == "metric_loss" else data
        for policy, rows in data.groupby("policy", sort=False):
            _marks(axis, rows, x, gain, style[str(policy)], str(policy))
        axis.axvline(bound, color="0.4", linestyle=":", linewidth=1)
        at_least(axis)
        axis.set(xlabel=label_of(x).axis if i >= across else "", ylabel=label_of(gain).axis if i % across == 0 else "")
        axis.set(title=network if i < across else "")
    legend_below(figure, axes)
    return figure


def _marks(axis: Axes, rows: pd.DataFrame, x: str, gain: str, look: SeriesStyle, label: str) -> None:
    xs, ys = label_of(x).scaled(rows[x]), label_of(gain).scaled(rows[gain])
    mark: dict[str, Any] = {"color": look.colour, "marker": look.marker, "label": series_label(label)}
    axis.scatter(xs, ys, s=16, alpha=0.7, linewidths=0, **mark)
    front = pareto(pd.DataFrame({"x": xs, "y": ys}))
    axis.plot(front["x"], front["y"], color=look.colour, linestyle=look.line, linewidth=1)


def pareto(points: pd.DataFrame) -> pd.DataFrame:
    """The rows that no other has both a smaller x and a larger y than, by rising x."""
    ordered = points.sort_values(["x", "y"], ascending=[True, False], kind="stable")
    return ordered[ordered["y"] > ordered["y"].cummax().shift(fill_value=float("-inf"))]
