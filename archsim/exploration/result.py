"""Result of an exploration: its points, its recommendation, its records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from archsim.experiment.record import Record
from archsim.exploration.advice import advice
from archsim.exploration.candidates import NONE, UNREAL, WIDTH, Candidate, plain_policy
from archsim.exploration.points import ExploredPoints, energy_delay_area, pareto_front
from archsim.exploration.precisions import PrecisionCost, gains_beside_fp16, losses_beside_fp16
from archsim.exploration.threshold_search import Bound
from archsim.sweeps.frames import SweepResults


@dataclass(frozen=True, eq=False)
class Exploration(ExploredPoints):
    """Explored points of one network on one trace, with the sweep behind them."""

    sweep: SweepResults
    split: str | None
    """Split of the corpus that θ was chosen on; None for a trace given by name."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Reason for each policy of the default list that cannot run on this network and machine."""

    @property
    def network(self) -> str:
        """Name of the network, or of its folder."""
        return Path(self.reference["network"]).name

    @property
    def trace(self) -> str:
        """Name of the trace, or of its file."""
        return Path(self.reference["trace"]).name

    @cached_property
    def recommendation(self) -> str:
        """Recommendation in words: the point to build, or why to build none."""
        return advice(self)

    def records(self) -> list[Record]:
        """Return every point as a flat JSON record, None where a figure does not apply; `recommended` marks one."""
        import pandas as pd

        chosen = None if self.chosen is None else self.chosen["point"]
        rows = self.points.assign(recommended=self.points["point"] == chosen).astype(object)
        return [{str(k): None if pd.isna(v) else v for k, v in row.items()} for row in rows.to_dict("records")]


def evaluate_points(
    sweep: SweepResults,
    candidates: list[Candidate],
    bound: Bound,
    split: str | None,
    ends: tuple[float, float],
    costs: Mapping[str, PrecisionCost],
) -> Exploration:
    """Return the exploration of a finished sweep. A loss of the user's takes the place of a metric's.

    costs: those of several precisions; empty for one.
    """
    points = sweep.ran.reset_index(drop=True)
    points = gains_beside_fp16(losses_beside_fp16(points, costs)) if costs else points
    points["format"] = " in " + points["precision"] if costs else ""
    points["fits"] = points.apply(bound.holds, axis=1).astype(bool)
    if bound.user_loss is not None:
        points["metric_loss"] = points.apply(bound.loss_of, axis=1).astype(float)
        points[["metric_loss_low", "metric_loss_high"]] = np.nan
    with_theta = {one.policy for one in candidates if one.has_theta}
    with_unit = {one.policy for one in candidates if one.has_unit}
    points["threshold"] = points["threshold"].where(points["policy"].isin(with_theta))
    widths = points[WIDTH] if WIDTH in points else points["point"]
    points["width_bits"] = widths.astype("Int64").where(points["policy"].isin(with_unit))
    high = points["metric_loss_high"].astype(float)
    points["unsure"] = points["fits"] & (high > bound.limit) & bound.has_interval
    points["avoided"] = points["reuse_fraction"].astype(float).fillna(points["macs_avoided_fraction"].astype(float))
    area_mm2 = float(points.loc[points["policy"] == NONE, "area_mm2"].iloc[0])
    points["more_area"] = points["area_mm2"] / area_mm2 - 1
    points["product"] = energy_delay_area(points, area_mm2)
    # A policy that no hardware can implement must not push others off the front.
    real = points["fits"] & ~points["policy"].map(plain_policy).isin(UNREAL)
    points["front"] = False
    points.loc[real, "front"] = pareto_front(points[real])
    return Exploration(points, bound.limit, ends, bound.cost, sweep, split)
