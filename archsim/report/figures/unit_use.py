"""What each unit does and waits for, at the best point of each network."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from archsim.report.study import Study
from archsim.report.style import Look, legend_below, looks, panels, styled

NAME = "utilisation"
TITLE = "What the units do"
CAPTION = "Shares of the time with reuse, at the best point of each network: busy, waiting (by reason), idle."
MOST_PANELS = 6
LEAST_SHARE = 0.005
IDLE = Look("#e6e6e6", "x", "-", "")


@styled()
def draw(study: Study) -> Figure:
    """One panel a point, one bar a unit."""
    best = study.best_machines.head(MOST_PANELS)
    uses = study.sweep.utilisation
    uses = uses[(uses["side"] == "policy") & uses["point"].isin(best["point"])]
    waits = uses[~uses["state"].isin(["busy", "idle"])].groupby("state")["share"].max()
    style = looks(["busy", *waits[waits > LEAST_SHARE].index]) | {"idle": IDLE}
    units = list(dict.fromkeys(uses["unit"]))
    figure, axes = panels(len(best), columns=2, width=4.4, height=0.8 + 0.17 * len(units))
    for axis, row in zip(axes, best.itertuples(), strict=True):
        table = uses[uses["point"] == row.point].pivot(index="unit", columns="state", values="share")
        table = table.reindex(units[::-1]).fillna(0.0)
        left = pd.Series(0.0, index=table.index)
        for state, look in style.items():
            part = 100 * table.get(state, left * 0)
            axis.barh(
                table.index, part, 0.75, left, color=look.colour, hatch=look.hatch, edgecolor="white", label=state
            )
            left = left + part
        axis.set(xlabel="share of the time (%)", title=f"{row.network}, {row.policy}")
        axis.tick_params(axis="y", labelsize=7)
        axis.grid(axis="y", visible=False)
    legend_below(figure, axes)
    return figure
