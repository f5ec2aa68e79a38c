"""Figure of reuse and energy saving at one, two and three points of loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archsim.report.figures.common import grouped_bars, names, panels_or_one, with_mean
from archsim.report.labels import LABELS
from archsim.report.style import legend_below, series_styles, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAME = "at-loss"
TITLE = "Computation reuse and energy saving by the loss allowed"
CAPTION = (
    "Computation reuse and energy saving, the memoization hardware included, at the largest threshold whose loss on "
    "calibration data stays within one, two or three points; applied unchanged to test data. "
    "The mean is the arithmetic mean over the networks."
)

_SHOWN = ("reuse_fraction", "energy_saving")


@styled()
def draw(frame: pd.DataFrame) -> Figure:
    """Return a figure with two panels per policy and a group of bars per network.

    `frame` has one row per network, policy and allowed loss.
    """
    policies = names(frame, "policy")
    figure, axes = panels_or_one(
        2 * len(policies), columns=2, width=max(3.4, 0.95 * (len(names(frame, "network")) + 1))
    )
    for i, policy in enumerate(policies):
        of_policy = frame[frame["policy"] == policy]
        for one, column in zip(axes[2 * i : 2 * i + 2], _SHOWN, strict=True):
            _draw_column(one, of_policy, column)
            one.set_title(policy if len(policies) > 1 else "")
    for i, one in enumerate(axes):
        one.set(xlabel="network", ylabel=LABELS[_SHOWN[i % 2]].axis)
    legend_below(figure, axes)
    return figure


def _draw_column(axes: Axes, frame: pd.DataFrame, column: str) -> None:
    table = frame.pivot(index="network", columns="max_loss", values=column).reindex(names(frame, "network"))
    labels = [_allowed(float(loss)) for loss in table.columns.to_list()]
    grouped_bars(
        axes, with_mean(table.astype(float) * LABELS[column].factor), list(series_styles(labels).values()), labels
    )
    axes.margins(y=0.1)
    if frame[column].min() < 0:
        axes.axhline(0, color="black", linewidth=0.8)


def _allowed(points: float) -> str:
    return f"loss of at most {points:g} point{'' if points == 1 else 's'}"
