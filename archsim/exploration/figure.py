"""Figure of an exploration: gains over area for the points within the bound, with the front as a line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.figure import Figure

from archsim.escaping import one_line
from archsim.exploration.advice import MORE_AREA, named
from archsim.exploration.candidates import NONE, predictor_of
from archsim.exploration.points import GAINS
from archsim.report.figures.common import HALO, SMALL
from archsim.report.figures.tradeoff import pareto
from archsim.report.labels import label_of
from archsim.report.style import SeriesStyle, legend_below, panels, series_label, series_styles, styled, widen_flat_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from archsim.exploration.points import ExploredPoints, Row

NAME = "front"
TITLE = "What is gained for how much area"
CAPTION = (
    "Each policy at its best θ within the bound on the loss; thin lines join the widths of the memoization unit. Area "
    "is next to the machine without reuse. Filled marks throttle, open ones do not; large ones are on the front of "
    "energy saving, speedup and area, and the black line joins those that no other beats in area and in the gain "
    "shown. The ring is the point recommended."
)


@styled()
def draw(explored: ExploredPoints) -> Figure:
    """Return a figure with one panel per gain, over the area added."""
    figure, axes = panels(len(GAINS), width=4.2, height=3.4)
    shown = _shown(explored)
    reusing = shown[shown["policy"] != NONE]
    styles = series_styles(_series_name(row) for _, row in reusing.iterrows())
    for axis, gain in zip(axes, GAINS, strict=True):
        rows = shown.assign(x=MORE_AREA.scaled(shown["more_area"]), y=label_of(gain).scaled(shown[gain]))
        for _, of_policy in rows.groupby(["policy", "format"], sort=False):
            row = of_policy.iloc[0]
            throttled = predictor_of(row["policy"])[1]
            _series(axis, of_policy, styles.get(_series_name(row)), _label(row), filled=throttled)
        front = pareto(rows[rows["front"]])
        axis.plot(front["x"], front["y"], color="black", linewidth=1, zorder=2)
        widen_flat_axis(axis)
        axis.set(xlabel=MORE_AREA.axis, ylabel=label_of(gain).axis)
        if explored.chosen is not None:
            _ring(axis, rows[rows["point"] == explored.chosen["point"]].iloc[0])
    legend_below(figure, axes)
    return figure


def _shown(explored: ExploredPoints) -> pd.DataFrame:
    """Return the points of the front and the best θ per policy and width, in the order of the points."""
    best = explored.fitting.groupby(["policy", "width_bits"], dropna=False).head(1)
    return explored.points[explored.points["front"] | explored.points.index.isin(best.index)]


def _series(axis: Axes, rows: pd.DataFrame, style: SeriesStyle | None, label: str, *, filled: bool) -> None:
    """Draw one policy, with larger marks on the front; `style` is None for the machine without reuse."""
    colour, marker = (style.colour, style.marker) if style else ("black", "P")
    kind: dict[str, Any] = {"marker": marker, "facecolors": colour if filled else "white", "edgecolors": colour}
    axis.plot(rows["x"], rows["y"], color=colour, linewidth=0.7, zorder=1)
    axis.scatter(
        rows["x"],
        rows["y"],
        s=rows["front"].map({True: 40, False: 14}),
        zorder=3,
        label=series_label(one_line(label)),
        **kind,
    )


def _series_name(row: Row) -> str:
    """Return the predictor of a point, and its number format where there are several."""
    return f"{predictor_of(row['policy'])[0]}{row['format']}"


def _label(row: Row) -> str:
    if row["policy"] == NONE:
        return f"without reuse{row['format']}"
    throttled = predictor_of(row["policy"])[1]
    return _series_name(row) if throttled else f"{_series_name(row)}, not throttled"


def _ring(axis: Axes, at: Row) -> None:
    """Mark the recommended point, and name it in the corner of much area and little gain, where marks are rarest."""
    axis.scatter([at["x"]], [at["y"]], s=150, facecolors="none", edgecolors="black", linewidths=1.2, zorder=4)
    words = one_line(named(at)).replace(" at", "\nat").replace(" with", "\nwith")
    place: dict[str, Any] = {"transform": axis.transAxes, "ha": "right", "va": "bottom", "zorder": 5}
    axis.text(0.98, 0.03, f"ring: {words}", fontsize=SMALL, path_effects=HALO, **place)
