"""Where the energy goes, without reuse and with it, at the best point of each network and policy."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from archsim.report.study import Study
from archsim.report.style import legend_below, looks, panels

NAME = "energy-breakdown"
TITLE = "Where the energy goes"
CAPTION = (
    "Energy by part, without reuse (left bar) and with it (right bar), at the best point of each network and policy; "
    "100 % is the energy without reuse."
)
BUCKETS = {
    "scratchpad": "on-chip memories",
    "operations": "operations",
    "dram": "main memory",
    "memo": "memoization unit",
    "static": "leakage",
}
"""The paper's breakdown, and leakage."""


def draw(study: Study) -> Figure:
    """Two stacked bars a point."""
    shares = energy_shares(study.sweep.energy, study.best["point"].tolist())
    names = [f"{row.network}\n{row.policy}" for row in study.best.itertuples()]
    figure, (axis,) = panels(1, width=max(4.5, 1.1 * len(names) + 1.5), height=3.2)
    style = looks(BUCKETS.values())
    for side, offset in (("baseline", -0.2), ("policy", 0.2)):
        bottom = pd.Series(0.0, index=study.best["point"])
        for bucket, label in BUCKETS.items():
            part = shares[side].get(bucket, pd.Series(dtype=float)).reindex(bottom.index, fill_value=0.0)
            xs = [i + offset for i in range(len(names))]
            look = style[label]
            axis.bar(xs, part, 0.36, bottom, color=look.colour, hatch=look.hatch, edgecolor="white", label=label)
            bottom = bottom + part
    axis.set_xticks(range(len(names)), names)
    axis.set(ylabel="energy (% of that without reuse)")
    axis.grid(axis="x", visible=False)
    legend_below(figure, [axis])
    return figure


def energy_shares(energy: pd.DataFrame, points: list[int]) -> dict[str, pd.DataFrame]:
    """By side: percent of the baseline's energy, a row a point, a column a bucket."""
    chosen = energy[energy["point"].isin(points)]
    sums = chosen.groupby(["side", "point", "bucket"])["joules"].sum()
    whole = sums["baseline"].groupby("point").sum()
    return {
        side: (100 * sums[side].unstack("bucket", fill_value=0.0)).div(whole, axis=0) for side in ("baseline", "policy")
    }
