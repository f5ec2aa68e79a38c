"""Points of an exploration as a table, their Pareto front, and the point to recommend."""

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
    """Return a mask of the points that no other point dominates.

    A point dominates another if it is no worse in energy saving, speedup and area, and better in one of them.
    """
    merits = np.column_stack([*(points[gain] for gain in GAINS), *(-points[cost] for cost in COSTS)]).astype(float)
    ours, others = merits[:, None], merits[None, :]
    dominated = np.all(others >= ours, axis=2) & np.any(others > ours, axis=2)
    front: Bools = ~np.any(dominated, axis=1)
    return front


def energy_delay_area(points: pd.DataFrame, area_mm2: float) -> pd.Series[Any]:
    """Return energy × time × area relative to the machine without reuse, which has `area_mm2`; smaller is better."""
    return (1 - points["energy_saving"]) / points["speedup"] * (points["area_mm2"] / area_mm2)


@dataclass(frozen=True, eq=False)
class ExploredPoints:
    """Points of an exploration, with the bound on their loss."""

    points: pd.DataFrame
    """Sweep results, one row per point, with these further columns.

    `width_bits` (null without a memoization unit); `fits` (loss within the bound); `unsure` (it fits, but its interval
    reaches beyond); `avoided` (share of neurons reused, or of multiply-accumulates for a column-skipping policy);
    `format` (words for the precision, empty unless there are several); `more_area` and `product` (energy × time ×
    area), both relative to the machine without reuse; `front`.
    """
    max_loss: float
    """Bound on the loss, in points of the metric; on the change of the outputs, if `cost` says so."""
    ends: tuple[float, float]
    """Smallest and largest θ that the search can reach."""
    cost: str
    """Column that the bound is on: `metric_loss` or `output_change`."""

    @property
    def reference(self) -> Row:
        """Point of the machine without reuse, of fp16 if there are several precisions."""
        return self.points[self.points["policy"] == NONE].iloc[0]

    @property
    def reusing(self) -> pd.DataFrame:
        """Points of policies that reuse and that hardware can implement."""
        return self.points[~self.points["policy"].map(plain_policy).isin([NONE, *UNREAL])]

    @property
    def fitting(self) -> pd.DataFrame:
        """Points of `reusing` within the bound, best product first."""
        return self.reusing[self.reusing["fits"]].sort_values("product", kind="stable")

    @property
    def front(self) -> pd.DataFrame:
        """Undominated points within the bound, by rising area; the machine without reuse is one of them."""
        return self.points[self.points["front"]].sort_values(["area_mm2", "product"], kind="stable")

    @property
    def best(self) -> Row | None:
        """Point within the bound with the least energy × time × area; None if no point fits."""
        return None if self.fitting.empty else self.fitting.iloc[0]

    @property
    def chosen(self) -> Row | None:
        """Best point if it beats every machine without reuse within the bound, else None."""
        least = min(1.0, self.plain_fitting["product"].min())
        return self.best if self.best is not None and self.best["product"] < least else None

    @property
    def plain_fitting(self) -> pd.DataFrame:
        """Points without reuse within the bound, one per precision, best product first."""
        plain = self.points[(self.points["policy"] == NONE) & self.points["fits"]]
        return plain.sort_values("product", kind="stable")

    @property
    def others(self) -> pd.DataFrame:
        """Best point per policy that has none on the front; if none fits, the one that loses least."""
        key = self.points["policy"] + self.points["format"]
        rest = self.points[~key.isin(self.front["policy"] + self.front["format"])]
        rank = rest["product"].where(rest["fits"], rest[self.cost])
        ordered = rest.assign(rank=rank).sort_values(["fits", "rank"], ascending=[False, True], kind="stable")
        return ordered.groupby(["policy", "format"], sort=False).head(1).drop(columns="rank")
