"""Figure of the area that the memoization hardware adds to the chip."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from archsim.report.figures.common import EDGE, SMALL, names, panels_or_one
from archsim.report.labels import LABELS
from archsim.report.style import legend_below, series_styles, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAME = "area"
TITLE = "Area of the accelerator"
CAPTION = (
    "Area by component, all instances together, without main memory. With memoization the weight buffer is split in a "
    "bank of signs and one of magnitudes; components of less than 1 % of every machine are drawn together as other."
)

_SMALL_SHARE = 0.01
_FIRST = ("weight_buffer", "magnitude_buffer", "sign_bank")
"""Components that hold the weights, drawn first in every bar, so that they can be compared."""


@styled()
def draw(frame: pd.DataFrame) -> Figure:
    """Return a figure with one stacked horizontal bar per machine, from one row per machine and component."""
    machines = names(frame, "machine")
    figure, axes = panels_or_one(min(1, len(machines)), width=6.0, height=1.3 + 0.4 * len(machines))
    if machines:
        _draw_bars(axes[0], _table(frame), machines)
    axes[0].set(xlabel=LABELS["area_mm2"].axis, ylabel="machine")
    legend_below(figure, axes)
    return figure


def _table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the mm² by machine (rows) and component (columns), with small components summed in the last column."""
    components = names(frame, "component")
    order = [*(name for name in _FIRST if name in components), *(name for name in components if name not in _FIRST)]
    mm2 = frame.pivot_table(index="machine", columns="component", values="mm2", aggfunc=math.fsum).fillna(0)
    mm2 = mm2.reindex(columns=order).rename(columns=lambda name: name.replace("_", " "))
    large = (mm2.div(mm2.apply(math.fsum, axis=1), axis=0) >= _SMALL_SHARE).any()
    other = mm2.loc[:, ~large].apply(math.fsum, axis=1)
    return mm2.loc[:, large].assign(other=other) if other.any() else mm2


def _draw_bars(axes: Axes, table: pd.DataFrame, machines: list[str]) -> None:
    table, left = table.reindex(machines), np.zeros(len(machines))
    for component, style in series_styles(table.columns).items():
        mm2 = table[component].to_numpy(float)
        axes.barh(machines, mm2, 0.6, left=left, label=component, color=style.colour, hatch=style.hatch, **EDGE)
        left = left + mm2
    for y, total in enumerate(left):
        axes.text(total * 1.01, y, f"{total:.1f}", va="center", fontsize=SMALL)
    axes.invert_yaxis()
    axes.set_axisbelow(True)
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.08)
