"""What an exploration found: every point, which of them fit, the front, and the one to take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archsim.experiment.record import Record
from archsim.exploration.candidates import NONE, UNREAL, WIDTH, Candidate, plain_policy
from archsim.exploration.front import energy_delay_area, pareto_front
from archsim.exploration.ladder import LogGrid
from archsim.sweeps.frames import SweepResults

if TYPE_CHECKING:
    import pandas as pd

    Row = pd.Series[Any]


@dataclass(frozen=True, eq=False)
class Exploration:
    """The points of an exploration, and the bound they are held to."""

    sweep: SweepResults
    points: pd.DataFrame
    """Results, a row a point, and of each: `width_bits` (null without a memoization unit), `fits` (loss within the
    bound), `unsure` (it fits, but its interval reaches beyond), `avoided` (neurons reused, or by columns the share of
    multiply-accumulates), `more_area` and `product` (energy × time × area),
    both next to the machine without reuse, `front`."""
    max_loss: float
    split: str | None
    ends: tuple[float, float]
    """The least and the largest θ that the search can come to."""

    @property
    def reference(self) -> Row:
        """The machine without reuse."""
        return self.points[self.points["policy"] == NONE].iloc[0]

    @property
    def network(self) -> str:
        """Name of the network, or of its folder."""
        return Path(self.reference["network"]).name

    @property
    def trace(self) -> str:
        """Name of the trace, or of its file."""
        return Path(self.reference["trace"]).name

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

    @cached_property
    def recommendation(self) -> str:
        """What to build, in words."""
        from archsim.exploration.advice import advice

        return advice(self)

    def records(self) -> list[Record]:
        """Every point as a flat record for JSON, null where a figure does not apply; `recommended` marks one."""
        import pandas as pd

        chosen = None if self.chosen is None else self.chosen["point"]
        rows = self.points.assign(recommended=self.points["point"] == chosen).astype(object)
        return [{str(k): None if pd.isna(v) else v for k, v in row.items()} for row in rows.to_dict("records")]


def findings(
    sweep: SweepResults,
    explored: list[Candidate],
    holds: Callable[[Row], bool],
    max_loss: float,
    split: str | None,
    ends: tuple[float, float] = LogGrid().ends,
) -> Exploration:
    """Look at the points of a finished sweep; `holds` says whether a loss is within the bound."""
    points = sweep.ran.reset_index(drop=True)
    with_theta = {one.policy for one in explored if one.has_theta}
    with_unit = {one.policy for one in explored if one.has_unit}
    points["threshold"] = points["threshold"].where(points["policy"].isin(with_theta))
    widths = points[WIDTH] if WIDTH in points else points["point"]
    points["width_bits"] = widths.astype("Int64").where(points["policy"].isin(with_unit))
    points["fits"] = points.apply(holds, axis=1).astype(bool)
    points["unsure"] = points["fits"] & (points["metric_loss_high"] > max_loss)
    points["avoided"] = points["reuse_fraction"].astype(float).fillna(points["macs_avoided_fraction"].astype(float))
    area_mm2 = float(points.loc[points["policy"] == NONE, "area_mm2"].iloc[0])
    points["more_area"] = points["area_mm2"] / area_mm2 - 1
    points["product"] = energy_delay_area(points, area_mm2)
    real = points["fits"] & ~points["policy"].map(plain_policy).isin(UNREAL)
    points["front"] = False
    points.loc[real, "front"] = pareto_front(points[real])
    return Exploration(sweep, points, max_loss, split, ends)
