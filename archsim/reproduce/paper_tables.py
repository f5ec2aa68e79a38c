"""Tables of the paper's figures as numbers, next to ours."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import pandas as pd

from archsim.paper import AREA_MM2, AVERAGES, MEAN_CHANGE, REUSE, SHARE_UNDER_TENTH
from archsim.report.html_tables import provenance_table
from archsim.report.labels import label_of
from archsim.report.page import Table
from archsim.reproduce.dataset_results import AT, DatasetResults
from archsim.reproduce.datasets import POLICIES
from archsim.reproduce.pictures import area_frame
from archsim.sums import mean

MEANS = ("reuse_fraction", "energy_saving", "speedup", "metric_loss")


def averages(datasets: Iterable[DatasetResults]) -> pd.DataFrame:
    """Return the means over the networks at one point of loss, the paper's first; NaN if a figure is missing."""
    paper = dict(zip(MEANS, (AVERAGES.reuse, AVERAGES.energy_saving, AVERAGES.speedup, float("nan")), strict=True))
    rows: list[dict[str, object]] = [{"source": "paper", "policy": POLICIES[0], "networks": 4} | paper]
    for results in datasets:
        for policy in POLICIES:
            points = results.at_loss(AT, policy).set_index("network").reindex(results.dataset.networks)
            about = {"source": results.dataset.title.lower(), "policy": policy, "networks": len(points)}
            rows.append(about | {merit: mean(points[merit].astype(float)) for merit in MEANS})
    return pd.DataFrame(rows)


def averages_table(means: pd.DataFrame) -> Table:
    """Return the table of the abstract's three averages and ours, from the frame of `averages`."""
    columns = ["", "policy", "networks", *(label_of(c).axis for c in MEANS)]
    rows = [
        [str(row["source"]), str(row["policy"]), str(row["networks"]), *(label_of(c).number(row[c]) for c in MEANS)]
        for _, row in means.iterrows()
    ]
    note = (
        "Arithmetic means over the networks. Thresholds lose at most one point on validation data, a standard error "
        "included; the paper's loss is about one point. Its networks and data are others than ours: compare with care."
    )
    return Table("", columns, rows, note)


def networks_table(results: DatasetResults) -> Table:
    """Return the table of each network at one point of loss."""
    before = ("threshold", "reuse_fraction", "metric_baseline", "metric_value", "metric_loss")
    gains = ("output_change", "speedup", "energy_saving")
    columns = ["network", "policy", "sequences", "metric", *(label_of(c).axis for c in before)]
    columns += ["95 % of losses (points)", *(label_of(c).axis for c in gains), "the paper's reuse (%)"]
    rows = []
    for policy in POLICIES:
        for _, row in results.at_loss(AT, policy).iterrows():
            figures, gained = ([label_of(c).number(row[c]) for c in shown] for shown in (before, gains))
            interval = f"{row['metric_loss_low']:.2f} to {row['metric_loss_high']:.2f}"
            paper = label_of("reuse_fraction").number(REUSE.get(row["network"]) if policy == "bnn" else None)
            about = [row["network"], policy, str(row["sequences"]), str(row["metric"])]
            rows.append([*about, *figures, interval, *gained, paper])
    note = "The paper's reuse is that of its own network for the task, remembered, not read."
    return Table("At one point of loss on validation data", columns, rows, note)


def neurons_table(results: DatasetResults) -> Table:
    """Return the table of how much neurons change per step, and how well the binary network follows them."""
    changes = results.observed["change_summary"]
    r = results.observed["correlations"].groupby("network", sort=False)["correlation"]
    median, high = r.median(), r.agg(lambda values: (values > 0.8).sum() / len(values))
    columns = ["network", "of", "mean change, at most 100 % each (%)", "median change (%)", "changes under 10 % (%)"]
    columns += ["median correlation", "neurons above 0.8 (%)"]
    rows = []
    for _, row in changes.iterrows():
        network, of = str(row["network"]), str(row["quantity"])
        figures = [f"{100 * row[column]:.3g}" for column in ("mean_capped", "median", "share_below_10_percent")]
        binary = [f"{median[network]:.2f}", f"{100 * high[network]:.3g}"] if of == "dot product" else ["", ""]
        rows.append([network, of, *figures, *binary])
    paper = f"{100 * MEAN_CHANGE:g} % on average, {100 * SHARE_UNDER_TENTH:g} % of them by less than 10 %"
    note = f"The paper's outputs change by {paper} (remembered)."
    return Table("Single neurons", columns, rows, note)


def area_table() -> Table:
    """Return the table of the area of both machines."""
    frame = area_frame()
    wide = frame.pivot(index="component", columns="machine", values="mm2").reindex(frame["component"].unique())
    rows = [[str(part), *("–" if pd.isna(mm2) else f"{mm2:.3f}" for mm2 in values)] for part, values in wide.iterrows()]
    sums = wide.apply(lambda mm2: math.fsum(mm2.dropna()))
    rows.append(["sum", *(f"{mm2:.2f}" for mm2 in sums)])
    more = 100 * (sums["with memoization"] / sums["E-PUR"] - 1)
    note = (
        f"{more:.1f} % more with memoization: the signs are split off the weight buffer, not added to it. The paper's "
        f"machines have {AREA_MM2[0]} and {AREA_MM2[1]} mm² (remembered); ours is the sum of its arrays and units, "
        "without whatever else a chip has."
    )
    return Table("Area in mm²", ["component", *map(str, wide.columns)], rows, note)


def provenance_tables(datasets: Iterable[DatasetResults]) -> list[Table]:
    """Return the tables of versions and digests, one per dataset."""
    return [
        replace(provenance_table(one.losses.about), title=f"Provenance: {one.dataset.title.lower()}", folded=True)
        for one in datasets
    ]
