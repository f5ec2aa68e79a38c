"""Figure of the correlation of binary and exact outputs over neurons."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from archsim.report.figures.common import EDGE, GREY, SMALL, names, panels_or_one
from archsim.report.style import COLOURS, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAME = "correlation"
TITLE = "Correlation of binary and exact neuron outputs"
CAPTION = (
    "Pearson's correlation between a neuron's exact dot product and the output of its binary counterpart (signs of "
    "inputs and weights), over all steps watched, without reuse: the share of a network's neurons by correlation. "
    "The dashed line is the median; neurons that never move have no correlation and are left out."
)

_BINS = [i / 20 for i in range(-20, 21)]


@styled()
def draw(frame: pd.DataFrame) -> Figure:
    """Return a figure with one panel per network, from `Observation.correlations()` of one or more networks."""
    networks = names(frame, "network")
    figure, axes = panels_or_one(len(networks))
    for one, network in zip(axes, networks, strict=False):
        r = frame.loc[frame["network"] == network, "correlation"].dropna().to_numpy(float)
        one.set_title(network)
        _draw_histogram(one, r)
    for one in axes:
        one.set(xlabel="correlation of a neuron", ylabel="share of neurons (%)")
    return figure


def _draw_histogram(axes: Axes, r: NDArray[np.float64]) -> None:
    """Draw the percentage of neurons per bin, and their median."""
    # Clipped, because rounding may lift a correlation of one above it.
    axes.hist(np.clip(r, -1, 1), _BINS, weights=np.full(r.size, 100 / max(1, r.size)), color=COLOURS[4], **EDGE)
    axes.set_xlim(-1, 1)
    axes.set_axisbelow(True)
    if r.size:
        median = float(np.median(r))
        axes.axvline(median, color="black", linestyle="--", linewidth=1)
        axes.text(0.03, 0.97, f"median {median:.2f}", transform=axes.transAxes, va="top", fontsize=SMALL, color=GREY)
