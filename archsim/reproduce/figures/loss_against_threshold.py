"""Figure of reuse and loss against the threshold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from archsim.report.figures.common import GREY, names, panels_or_one
from archsim.report.labels import LABELS
from archsim.report.study import BOUND, MAX_LOSS
from archsim.report.style import legend_below, line, series_styles, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from archsim.report.style import SeriesStyle

NAME = "loss-against-threshold"
TITLE = "Computation reuse and loss against the threshold"
CAPTION = (
    "Computation reuse (top) and loss of the task metric against the run without reuse (bottom) by threshold θ, the "
    "same for all neurons of a network; the band is the 95 % interval over sequences. The dotted line marks a loss of "
    f"one point; losses of more than {MAX_LOSS:g} points are not shown."
)

_ACRONYMS = {"wer": "WER", "bleu": "BLEU"}


@styled()
def draw(frame: pd.DataFrame) -> Figure:
    """Return a figure with two panels per network and a line per policy, from a sweep's results over thresholds."""
    frame = frame.assign(threshold=pd.to_numeric(frame["threshold"], errors="coerce")).dropna(subset="threshold")
    networks, styles = names(frame, "network"), series_styles(names(frame, "policy"))
    figure, axes = panels_or_one(2 * len(networks), columns=max(1, len(networks)), height=2.2)
    for i, network in enumerate(networks):
        of_network = frame[frame["network"] == network].sort_values("threshold")
        above, below = axes[i], axes[i + len(networks)]
        for policy, points in of_network.groupby("policy", sort=False):
            _draw_policy(above, below, points, styles[str(policy)], str(policy))
        above.set(title=network, ylim=(0, None))
        _finish_loss(below, names(of_network, "metric"))
    for one in axes[: max(1, len(networks))]:
        one.set_ylabel(LABELS["reuse_fraction"].axis)
    for one in axes:
        one.set_xlabel(LABELS["threshold"].axis)
    legend_below(figure, axes)
    return figure


def _draw_policy(above: Axes, below: Axes, points: pd.DataFrame, style: SeriesStyle, label: str) -> None:
    line(above, points["threshold"], LABELS["reuse_fraction"].scaled(points["reuse_fraction"]), style, label)
    low, high = (points[column].astype(float) for column in ("metric_loss_low", "metric_loss_high"))
    below.fill_between(points["threshold"], low, high, color=style.colour, alpha=0.2, linewidth=0)
    line(below, points["threshold"], points["metric_loss"].astype(float), style, label)


def _finish_loss(axes: Axes, metrics: list[str]) -> None:
    """Name the metric, mark one point of loss, and cut the axis, so that a collapse does not hide smaller losses."""
    axes.axhline(BOUND, color=GREY, linestyle=":", linewidth=1, zorder=0)
    axes.set_ylim(top=min(axes.get_ylim()[1], MAX_LOSS))
    words = " / ".join(_ACRONYMS.get(metric, metric) for metric in metrics) or "the metric"
    axes.set_ylabel(f"loss in {words} (points)")
