"""Use of each unit, with the reasons for its waiting, at the best point of each network."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from archsim.report.study import Study
from archsim.report.style import SeriesStyle, legend_below, panels, series_styles, styled
from archsim.sim import waits

NAME = "utilisation"
TITLE = "Use of the units"
CAPTION = "Shares of the time with reuse, at the best point of each network: busy, waiting (by reason), idle."
MAX_PANELS = 6
MIN_SHARE = 0.005
WAITS = (
    *(waits.DECISION, waits.DECISION_SLOT, waits.RESULT_SLOT, waits.PRODUCTS, waits.WEIGHTS, waits.BANK),
    *(waits.INPUTS, waits.OUTPUTS, waits.REFRESH, waits.ROWS_AND_TURNS),
)
"""Reasons in a fixed order, so that each has the same style in every report."""
IDLE = SeriesStyle("#e6e6e6", "x", "-", "")


@styled()
def draw(study: Study) -> Figure:
    """Draw one panel per point and one bar per unit."""
    best = study.best_machines.head(MAX_PANELS)
    uses = study.sweep.utilisation
    uses = uses[(uses["side"] == "policy") & uses["point"].isin(best["point"])]
    waited = uses[~uses["state"].isin(["busy", "idle"])].groupby("state")["share"].max()
    shown = {"busy", *waited[waited > MIN_SHARE].index}
    all_styles = series_styles(["busy", *WAITS, *sorted(shown.difference(WAITS))])
    styles = {state: style for state, style in all_styles.items() if state in shown} | {"idle": IDLE}
    units = list(dict.fromkeys(uses["unit"]))
    figure, axes = panels(len(best), columns=2, width=4.4 if len(best) > 1 else 8.8, height=0.8 + 0.17 * len(units))
    for axis, row in zip(axes, best.itertuples(), strict=True):
        table = uses[uses["point"] == row.point].pivot(index="unit", columns="state", values="share")
        table = table.reindex(units[::-1]).fillna(0.0)
        left = pd.Series(0.0, index=table.index)
        for state, style in styles.items():
            share = 100 * table.get(state, left * 0)
            label = state if state in ("busy", "idle") else f"waits for {state}"
            axis.barh(
                table.index, share, 0.75, left, color=style.colour, hatch=style.hatch, edgecolor="white", label=label
            )
            left = left + share
        axis.set(xlabel="share of the time (%)", title=f"{row.network}, {row.policy}")
        axis.tick_params(axis="y", labelsize=7)
        axis.grid(axis="y", visible=False)
    legend_below(figure, axes)
    return figure
