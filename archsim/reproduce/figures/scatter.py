"""Figure of one neuron's binary output against its exact one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archsim.report.figures.common import names, panels_or_one
from archsim.report.style import COLOURS, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

NAME = "scatter"
TITLE = "A typical neuron: binary against exact output"
CAPTION = (
    "Output of the binary network against the exact dot product of one neuron per network, the one whose correlation "
    "is the median of its network's neurons; a point a step, at most 2000. r is the correlation of the points drawn."
)


@styled()
def draw(frame: pd.DataFrame) -> Figure:
    """Return a figure with one panel per network, from `Observation.scatter()` of one or more networks."""
    networks = names(frame, "network")
    figure, axes = panels_or_one(len(networks))
    for one, network in zip(axes, networks, strict=False):
        points = frame[frame["network"] == network]
        r = points["binary"].corr(points["real"])
        # Rasterised, because thousands of marks would make the .svg slow to open.
        one.scatter(points["binary"], points["real"], s=5, color=COLOURS[0], alpha=0.3, linewidth=0, rasterized=True)
        one.set_title(f"{network}, r = {r:.2f}")
    for one in axes:
        one.set(xlabel="output of the binary network", ylabel="exact dot product")
    return figure
