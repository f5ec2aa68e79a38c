"""Figure of the abstract's three averages, ours beside the paper's."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING

from archsim.report.figures.common import grouped_bars, names
from archsim.report.labels import LABELS
from archsim.report.style import legend_below, panels, series_styles, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

NAME = "averages"
TITLE = "The abstract's averages"
CAPTION = (
    "Means over the networks: the paper's, and ours at thresholds that lose at most one point on validation data. "
    "bnn is the paper's predictor, oracle the bound of its scheme, of which the abstract says nothing."
)
MAX_CHARACTERS = 14
"""Characters per line under the bars."""
MERITS = ("reuse_fraction", "energy_saving", "speedup")


@styled()
def draw(frame: pd.DataFrame) -> Figure:
    """Return a figure with one panel per merit, from rows of source (the paper, a dataset), policy and `MERITS`."""
    frame = frame.assign(source=frame["source"].map(lambda source: fill(source, MAX_CHARACTERS)))
    sources, policies = names(frame, "source"), names(frame, "policy")
    figure, axes = panels(len(MERITS), width=max(2.4, 1.2 * len(sources)))
    for axis, merit in zip(axes, MERITS, strict=True):
        table = frame.pivot(index="source", columns="policy", values=merit).reindex(sources, columns=policies)
        label = LABELS[merit]
        grouped_bars(axis, table * label.factor, list(series_styles(policies).values()), policies, "{:.3g}")
        axis.set(xlabel="source", ylabel=label.axis)
        axis.margins(y=0.1)
    legend_below(figure, axes)
    return figure
