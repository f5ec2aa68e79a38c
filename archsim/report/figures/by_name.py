"""Figures of merit by a named axis of the sweep (network, machine, preset), with one bar per policy."""

from __future__ import annotations

from matplotlib.figure import Figure

from archsim.report.figures.common import grouped_bars, names, own_baselines
from archsim.report.labels import label_of
from archsim.report.study import Study
from archsim.report.style import INCHES_PER_CHARACTER, legend_below, panels, series_styles, styled
from archsim.sums import mean


def name(category: str) -> str:
    """Return the stem of the figure's file names."""
    return f"by-{category.replace('.', '-')}"


def caption(study: Study, category: str) -> str:
    """Return the caption of the figure."""
    note = " Means over the networks, if all have a point." if category != "network" and len(study.networks) > 1 else ""
    return f"The best point of each policy, {study.bound}, by {label_of(category).text}.{note}{own_baselines(study)}"


@styled()
def draw(study: Study, category: str) -> Figure:
    """Draw one panel per figure of merit."""
    best = study.best_of(list(dict.fromkeys([category, "network", "policy"])))
    best = best.assign(**{category: best[category].astype(str)})
    values, policies = names(best, category), names(best, "policy")
    merits = [merit for merit in study.merits if best[merit].nunique() > 1] or ["energy_saving"]
    width = max(3.4, (0.35 * len(policies) + 0.3) * len(values) + 0.6)
    crowded = INCHES_PER_CHARACTER * sum(map(len, values)) > 0.7 * width
    figure, axes = panels(len(merits), columns=2, width=width)
    for axis, merit in zip(axes, merits, strict=True):
        groups = label_of(merit).scaled(best[merit]).groupby([best[category], best["policy"]])
        whole = 1 if category == "network" else len(study.networks)  # no mean if a network is missing
        means = groups.agg(lambda values: mean(values.dropna())).where(groups.count() == whole)
        table = means.unstack("policy").reindex(values, columns=policies)
        grouped_bars(axis, table, list(series_styles(policies).values()), policies, "{:.3g}")
        axis.tick_params(axis="x", rotation=20 if crowded else 0)
        axis.set(ylabel=label_of(merit).axis)
        axis.margins(y=0.1)
    legend_below(figure, axes)
    return figure
