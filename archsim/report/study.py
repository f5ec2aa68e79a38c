"""What a sweep varied, and which of its points to show."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from archsim.errors import UsageError
from archsim.sweeps.tables import SweepResults

MERITS = ("reuse_fraction", "metric_loss", "speedup", "energy_saving")
"""Figures of merit, in the order they are shown."""
BOUND = 1.0
"""Points of loss that a best point may have (the paper's)."""
MOST_LOSS = 10.0
"""Points of loss up to which pictures go."""
MOST_SERIES = 6
_SPEAK_FOR_THEMSELVES = {"policy", "arch", "preset", "trace", "split", "precision", "detail"}


@dataclass(frozen=True, eq=False)
class Study:
    """The points of a sweep that ran, and how they differ."""

    sweep: SweepResults
    points: pd.DataFrame
    """Rows of results, failed points left out."""
    varied: list[str]
    """Columns the grid sets that are not the same in all points."""

    @cached_property
    def numeric(self) -> list[str]:
        """Varied columns of numbers; of axes that go together, the first."""
        numbers = [c for c in self.varied if pd.api.types.is_numeric_dtype(self.points[c]) and c != "seed"]
        return [c for i, c in enumerate(numbers) if not any(self._decides(earlier, c) for earlier in numbers[:i])]

    @cached_property
    def categories(self) -> list[str]:
        """Varied columns of names, without network and policy."""
        numbers = {c for c in self.varied if pd.api.types.is_numeric_dtype(self.points[c])}
        return [c for c in self.varied if c not in {*numbers, "network", "policy"} and not self._decides("network", c)]

    @cached_property
    def networks(self) -> list[str]:
        """Networks in the order of the grid."""
        return list(dict.fromkeys(self.points["network"]))

    @cached_property
    def merits(self) -> list[str]:
        """Figures of merit that any point has."""
        return [merit for merit in MERITS if self.points[merit].notna().any()]

    def over(self, x: str) -> tuple[pd.DataFrame, bool]:
        """Points to draw over `x`, with a column `series`; and whether other axes are held.

        All points, where that makes few series. Else one series a policy: the other axes as at its best point.
        """
        others = [c for c in self.varied if c not in {"network", "policy", x} and not self._decides(x, c)]
        named = self.points.assign(series=self._named(["policy", *others])).dropna(subset=[x])
        if named["series"].nunique() <= MOST_SERIES:
            return named, False
        keys = ["network", "policy", *others]
        held = _first_of(["network", "policy"], self.points)[keys].astype(object)
        held_rows = named.astype(dict.fromkeys(others, object)).merge(held, on=keys)
        return held_rows.assign(series=held_rows["policy"]), True

    def best_of(self, columns: list[str], *, without: tuple[str, ...] = ("none",)) -> pd.DataFrame:
        """Of each value of some columns, the point that saves most energy among those that lose at most `BOUND`."""
        allowed = self.points[~self.points["policy"].isin(without) & ~_loses_too_much(self.points)]
        return _first_of(columns, allowed)

    @cached_property
    def best(self) -> pd.DataFrame:
        """The best point of each network and policy."""
        return self.best_of(["network", "policy"])

    @cached_property
    def best_machines(self) -> pd.DataFrame:
        """The best point of each network, of policies that a machine can have if there are any."""
        real = self.best_of(["network"], without=("none", "oracle"))
        return real if len(real) else self.best_of(["network"])

    def best_energy(self) -> pd.DataFrame:
        """Rows of energy at the best points, with the name of each as `network`."""
        names = {row["point"]: f"{row['network']}\n{row['policy']}" for _, row in self.best.iterrows()}
        energy = self.sweep.energy[self.sweep.energy["point"].isin(list(names))]
        return energy.assign(network=energy["point"].map(names))

    def _decides(self, one: str, other: str) -> bool:
        """Whether a value of one column goes with one value of the other only."""
        return bool(self.points.groupby(one, dropna=False)[other].nunique(dropna=False).max() == 1)

    def _named(self, columns: list[str]) -> pd.Series[Any]:
        parts = [self.points[column].map(lambda value, column=column: _name(column, value)) for column in columns]
        return pd.concat(parts, axis=1).agg(", ".join, axis=1)


def study_of(sweep: SweepResults) -> Study:
    """Look at a sweep; UsageError where no point has run."""
    results = sweep.results
    if results.empty or results["error"].notna().all():
        raise UsageError(f"no point of {sweep.n_points} has run yet: need at least one (archsim sweep goes on)")
    points = results[results["error"].isna()].reset_index(drop=True)
    return Study(sweep, points, [column for column in sweep.chosen if points[column].nunique(dropna=False) > 1])


def _loses_too_much(points: pd.DataFrame) -> pd.Series[bool]:
    return points["metric_loss"].fillna(0.0) > BOUND


def _first_of(columns: list[str], points: pd.DataFrame) -> pd.DataFrame:
    """Of each value of some columns, what saves most energy within the bound, or else loses least."""
    too_much = _loses_too_much(points)
    rank = points["metric_loss"].where(too_much, -points["energy_saving"])
    rows = points.assign(too_much=too_much, rank=rank).sort_values(["too_much", "rank"], kind="stable")
    return rows.groupby(columns, sort=False).head(1).sort_values("point").drop(columns=["too_much", "rank"])


def _name(column: str, value: Any) -> str:
    if column in _SPEAK_FOR_THEMSELVES:
        return str(value)
    name = column.split(".")[-1].replace("_", " ")
    return f"{name} {value:g}" if isinstance(value, int | float) else f"{name} {value}"


def machine_overrides(row: pd.Series[Any]) -> dict[str, Any]:
    """Fields of the machine that a point sets."""
    found = {str(c): v for c, v in row.items() if str(c).startswith("arch.") and not pd.isna(v)}
    return {field: json.loads(v) if isinstance(v, str) and v.startswith("[") else v for field, v in found.items()}
