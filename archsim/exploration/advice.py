"""Recommendation of an exploration in words that follow from its figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from archsim.config.precision import FP16
from archsim.exploration.candidates import NONE
from archsim.exploration.threshold_search import CHANGE
from archsim.report.labels import Label, label_of

if TYPE_CHECKING:
    from archsim.exploration.points import ExploredPoints, Row

RULE = (
    "Recommended is the point within the bound with the least product of energy, time and area, each next to that of "
    "the machine without reuse."
)
MORE_AREA = Label("more area", "%", 100, digits=2)
PAPER = "bnn"
"""Predictor of the paper, which others are compared with."""
SMALL = 0.005
"""Differences of speedup and of energy share that are not mentioned."""


def advice(explored: ExploredPoints) -> str:
    """Return the recommendation: one point to build and the cost of the next ones, or why to build none."""
    best, bound = explored.best, bound_text(explored)
    if best is None:
        return _nothing_fits(explored)
    if explored.chosen is None:
        plain = explored.plain_fitting.iloc[0]
        times = best["product"] / plain["product"]
        less = f"its energy × time × area is {times:.3g} times that of the machine without reuse{plain['format']}"
        answer = f"Reuse does not pay within {bound}: the best is {described(best, explored.cost)}; {less}."
        return " ".join([answer, *_of_formats(explored), *_at_end(explored)])
    sentences = [
        f"{described(best, explored.cost)}.",
        *_of_formats(explored),
        _compared(explored, best),
        _next_better(explored, best),
    ]
    if best["unsure"]:
        sentences.append(_unsure(explored, best))
    return " ".join([*sentences, *_at_end(explored)])


def _of_formats(explored: ExploredPoints) -> list[str]:
    """Return a sentence per further number format on what it brings without reuse."""
    if not (explored.points["format"] != "").any():
        return []
    plain = explored.points[(explored.points["policy"] == NONE) & (explored.points["precision"] != FP16.name)]
    words = [(row["precision"], _lost(row, explored.cost), _gains(row)) for _, row in plain.iterrows()]
    return [f"{name} without reuse {lost}, {gains}." for name, lost, gains in words]


def _at_end(explored: ExploredPoints) -> list[str]:
    """Return a sentence on the policies whose search ended at the largest θ, because a larger one may gain more."""
    policies = dict.fromkeys(explored.fitting["policy"][explored.fitting["threshold"] >= explored.ends[1]])
    if not policies:
        return []
    on = "a larger θ may fit: archsim calibrate --highest"
    return [f"The search of θ ended at {explored.ends[1]:g} for {', '.join(policies)}; {on}."]


def named(row: Row) -> str:
    """Return the name of a point: its policy, θ and width."""
    theta: str = "" if pd.isna(row["threshold"]) else f" at θ = {row['threshold']:g}"
    unit: str = "" if pd.isna(row["width_bits"]) else f" with an FMU of {row['width_bits']} bits"
    return f"{row['policy']}{row['format']}{theta}{unit}"


def described(row: Row, cost: str) -> str:
    """Return the name of a point with its reuse, loss and gains."""
    reuse = f"avoids {_share(row['avoided'])}"
    return f"{named(row)}: {reuse}, {_lost(row, cost)}, {_gains(row)}"


def _gains(row: Row) -> str:
    saving = row["energy_saving"]
    energy = f"saves {_share(saving)} energy" if saving >= 0 else f"takes {_share(-saving)} more energy"
    return f"is {row['speedup']:.2f}x as fast and {energy} for {_area(row['more_area'])}"


def _area(more: float) -> str:
    return f"{MORE_AREA.shown(more)} more area" if more >= 0 else f"{MORE_AREA.shown(-more)} less area"


def _nothing_fits(explored: ExploredPoints) -> str:
    if explored.reusing.empty:
        return "No policy that reuses and that a machine can have was explored."
    least, bound = explored.reusing.sort_values(explored.cost, kind="stable").iloc[0], bound_text(explored)
    answer = f"No point stays within {bound}: {named(least)} comes nearest and {_lost(least, explored.cost)}."
    smallest = explored.reusing["threshold"].min()
    return f"{answer} The search ended at θ = {smallest:g}." if smallest <= explored.ends[0] else answer


def _unsure(explored: ExploredPoints, best: Row) -> str:
    """Return a sentence on a loss that may exceed the bound, and on the best point that surely does not."""
    ends = f"{best['metric_loss_low']:.2g} to {best['metric_loss_high']:.2g}"
    noise = f"Its loss is within noise of the bound (95 % interval {ends}): take more sequences, or --margin"
    sure = explored.fitting[~explored.fitting["unsure"]]
    if sure.empty:
        return f"{noise}; no point is surely within."
    return f"{noise}; the best that is surely within is {_beside(sure.iloc[0])}."


def _compared(explored: ExploredPoints, best: Row) -> str:
    """Compare the best point with the paper's predictor, or with the next policy if that predictor is the best."""
    fitting = explored.fitting
    if best["policy"] != PAPER and PAPER in set(explored.points["policy"]):
        ours = fitting[fitting["policy"] == PAPER]
        return f"{_beside(ours.iloc[0])}." if len(ours) else f"{PAPER} has no point within the bound."
    rest = fitting[(fitting["policy"] != best["policy"]) | (fitting["format"] != best["format"])]
    return f"Next best is {_beside(rest.iloc[0])}." if len(rest) else "No other policy has a point within the bound."


def _beside(row: Row) -> str:
    theta: str = "" if pd.isna(row["threshold"]) else f" at θ = {row['threshold']:g}"
    gains = f"{_share(row['energy_saving'])} less energy and {row['speedup']:.2f}x"
    return f"{row['policy']}{row['format']}{theta}: {gains} for {_area(row['more_area'])}"


def _next_better(explored: ExploredPoints, best: Row) -> str:
    """Return a sentence on the smallest area that buys a larger energy saving."""
    better = explored.front[explored.front["energy_saving"] > best["energy_saving"] + SMALL]
    if better.empty:
        return "No point within the bound saves noticeably more energy."
    row = better.iloc[0]
    more = row["area_mm2"] / best["area_mm2"] - 1
    cost = f"adds {MORE_AREA.shown(more)} of area" if more >= 0 else f"takes {MORE_AREA.shown(-more)} less area"
    slower = row["speedup"] < best["speedup"] - SMALL
    also = f" but is only {row['speedup']:.2f}x as fast" if slower else ""
    return f"To save {_share(row['energy_saving'])}, {named(row)} {cost}{also}."


def bound_text(explored: ExploredPoints) -> str:
    """Return the bound in words."""
    if explored.cost == CHANGE:
        return f"{_share(explored.max_loss)} of output change"
    return f"{_points(explored.max_loss)} of loss"


def _lost(row: Row, cost: str) -> str:
    if cost == CHANGE:
        return f"changes the outputs by {_share(row[cost])}"
    points = row[cost]
    if points == 0:
        return "loses nothing"
    return f"loses {_points(points)}" if points > 0 else f"gains {_points(-points)}"


def _points(value: float) -> str:
    number = Label("", digits=2).number(value)
    return f"{number} point" if number == "1" else f"{number} points"


def _share(value: Any) -> str:
    return label_of("energy_saving").shown(float(value))
