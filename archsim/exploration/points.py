"""The Pareto front of a table of points, and the product that says which of them to take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from archsim.exploration.candidates import NONE, UNREAL, plain_policy
from archsim.kernels.arrays import Bools

if TYPE_CHECKING:
    import pandas as pd

    Row = pd.Series[Any]

GAINS = ("energy_saving", "speedup")
COSTS = ("area_mm2",)


def pareto_front(points: pd.DataFrame) -> Bools:
    """Which points no other dominates: no worse in energy saving, speedup and area, and better in one of them."""
    merits = np.column_stack([*(points[gain] for gain in GAINS), *(-points[cost] for cost in COSTS)]).astype(float)
    ours, others = merits[:, None], merits[None, :]
    dominated = np.all(others >= ours, axis=2) & np.any(others > ours, axis=2)
    front: Bools = ~np.any(dominated, axis=1)
    return front


def energy_delay_area(points: pd.DataFrame, area_mm2: float) -> pd.Series[Any]:
    """Energy × time × area, next to the same machine without reuse, whose area is given; smaller is better."""
    return (1 - points["energy_saving"]) / points["speedup"] * (points["area_mm2"] / area_mm2)


@dataclass(frozen=True, eq=False)
class ExploredPoints:
    """The points of an exploration, and the bound they are held to."""

    points: pd.DataFrame
    """Results, a row a point, and of each: `width_bits` (null without a memoization unit), `fits` (loss within the
    bound), `unsure` (it fits, but its interval reaches beyond), `avoided` (neurons reused, or by columns the share of
    multiply-accumulates), `more_area` and `product` (energy × time × area),
    both next to the machine without reuse, `front`."""
    max_loss: float
    ends: tuple[float, float]
    """The least and the largest θ that the search can come to."""

    @property
    def reference(self) -> Row:
        """The machine without reuse."""
        return self.points[self.points["policy"] == NONE].iloc[0]

    @property
    def reusing(self) -> pd.DataFrame:
        """Points of policies that a machine can have."""
        return self.points[~self.points["policy"].map(plain_policy).isin([NONE, *UNREAL])]

    @property
    def fitting(self) -> pd.DataFrame:
        """Of these, the ones within the bound, best product first."""
        return self.reusing[self.reusing["fits"]].sort_values("product", kind="stable")

    @property
    def front(self) -> pd.DataFrame:
        """Points within the bound that none dominates, by rising area; the machine without reuse is one of them."""
        return self.points[self.points["front"]].sort_values(["area_mm2", "product"], kind="stable")

    @property
    def best(self) -> Row | None:
        """The point within the bound with the least energy × time × area; None where nothing fits."""
        return None if self.fitting.empty else self.fitting.iloc[0]

    @property
    def chosen(self) -> Row | None:
        """The best point, if it is better than the machine without reuse."""
        return self.best if self.best is not None and self.best["product"] < 1 else None

    @property
    def others(self) -> pd.DataFrame:
        """Of each policy that the front does without, the best point; where none fits, what loses least."""
        rest = self.points[~self.points["policy"].isin(self.front["policy"])]
        rank = rest["product"].where(rest["fits"], rest["metric_loss"])
        ordered = rest.assign(rank=rank).sort_values(["fits", "rank"], ascending=[False, True], kind="stable")
        return ordered.groupby("policy", sort=False).head(1).drop(columns="rank")
