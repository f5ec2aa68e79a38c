"""What a sweep varied, and which of its points to show."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pandas as pd

from archsim.config.arch import ArchSpec, fields_of
from archsim.errors import UsageError
from archsim.escaping import one_line
from archsim.experiment.record import LARGE_CHANGE
from archsim.report.labels import label_of
from archsim.sweeps.frames import SweepResults
from archsim.sweeps.store import MACHINE

GAINS = ("speedup", "energy_saving")
"""Against the same machine without memoization."""
COSTS = ("time_s", "energy_j")
"""What is shown besides where machines differ: each has a baseline of its own."""
WORKLOAD = {"trace", "split", "limit"}
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
        """Varied columns of numbers that no other varied column decides; of axes that go together, the first."""
        numbers = [c for c in self.varied if pd.api.types.is_numeric_dtype(self.points[c]) and c != "seed"]
        names = ["network", *self.categories]
        free = [c for c in numbers if not any(self._decides(name, c) for name in names)]
        return [c for i, c in enumerate(free) if not any(self._decides(earlier, c) for earlier in free[:i])]

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
    def machines_differ(self) -> bool:
        """Whether the grid varies anything of the machine."""
        return any(column.split(".")[0] == "arch" for column in self.varied)

    @cached_property
    def avoided(self) -> str:
        """The column that says how much work was left out; one that all have, where some policy skips columns."""
        return "macs_avoided_fraction" if self.points["reuse_fraction"].isna().any() else "reuse_fraction"

    @cached_property
    def merit_columns(self) -> tuple[str, ...]:
        """Figures of merit, in the order tables show them."""
        return (self.avoided, "metric_loss", "output_change", *GAINS)

    @cached_property
    def lost(self) -> str:
        """The column that says what reuse costs: the loss of the metric, or, where there is none, of the outputs."""
        return "metric_loss" if self.points["metric_loss"].notna().any() else "output_change"

    @cached_property
    def bound(self) -> str:
        """Return, in words, how much a best point may lose."""
        if self.lost == "metric_loss":
            return f"losing at most {BOUND:g} point"
        return f"changing outputs by at most {100 * LARGE_CHANGE:g} %"

    @cached_property
    def merits(self) -> list[str]:
        """Figures of merit that any point has, as pictures show them, and costs where gains alone would mislead."""
        shown = (self.avoided, self.lost, *GAINS) + (COSTS if self.machines_differ or not len(self.of_policies) else ())
        return [merit for merit in shown if self.points[merit].notna().any()]

    @cached_property
    def of_policies(self) -> pd.DataFrame:
        """Points that reuse."""
        return self.points[self.points["policy"] != "none"]

    def over(self, x: str) -> tuple[pd.DataFrame, bool]:
        """Points to draw over `x`, with a column `series`; and whether other axes are held.

        All points, where that makes few series. Else one series a policy: the other axes as at its best point.
        """
        others = self._telling(["network", x])
        named = self.points.assign(series=self._named(["policy", *others])).dropna(subset=[x])
        if named["series"].nunique() <= MOST_SERIES:
            return named, False
        keys = ["network", "policy", *others]
        held = self._first_of(["network", "policy"], self.points)[keys].astype(object)
        held_rows = named.astype(dict.fromkeys(others, object)).merge(held, on=keys)
        return held_rows.assign(series=held_rows["policy"]), True

    def _telling(self, given: list[str]) -> list[str]:
        """Varied columns that tell points apart, names first, without those that given or earlier ones decide."""
        ordered = [*self.categories, *(c for c in self.varied if c not in {*self.categories, "policy", *given})]
        kept = list(given)
        for column in ordered:
            if column not in kept and not any(self._decides(one, column) for one in kept):
                kept.append(column)
        return kept[len(given) :]

    def best_of(self, columns: list[str], *, without: tuple[str, ...] = ()) -> pd.DataFrame:
        """Return the best point of each value of some columns, among those that lose no more than they may.

        The best saves most energy; where machines differ and do the same work, it takes least.
        """
        points = self.of_policies if len(self.of_policies) else self.points
        return self._first_of(columns, points[~points["policy"].isin(without) & ~_loses_too_much(points)])

    @cached_property
    def best(self) -> pd.DataFrame:
        """The best point of each network and policy."""
        return self.best_of(["network", "policy"])

    @cached_property
    def best_machines(self) -> pd.DataFrame:
        """The best point of each network, of policies that a machine can have if there are any."""
        real = self.best_of(["network"], without=("oracle",))
        return real if len(real) else self.best_of(["network"])

    def _first_of(self, columns: list[str], points: pd.DataFrame) -> pd.DataFrame:
        """Of each value of some columns, the best point within the bound, or else what loses least."""
        least_energy = self.machines_differ and not WORKLOAD & set(self.varied)
        merit = points["energy_j"] if least_energy else -points["energy_saving"]
        too_much = _loses_too_much(points)
        rank = points["metric_loss"].fillna(points["output_change"]).where(too_much, merit)
        rows = points.assign(too_much=too_much, rank=rank).sort_values(["too_much", "rank"], kind="stable")
        return rows.groupby(columns, sort=False).head(1).sort_values("point").drop(columns=["too_much", "rank"])

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
    """Look at a sweep, its names spelled as pictures can show them; UsageError where no point has run."""
    sweep = _with_plain_names(sweep)
    if sweep.ran.empty:
        errors = sweep.failed["error"]
        again = "archsim sweep GRID -o FOLDER --retry runs it again"
        why = f"; the first failed with: {errors.iloc[0]} ({again})" if len(errors) else ""
        raise UsageError(f"no point of {sweep.n_points} has run yet{why}")
    points = _with_machines(sweep.ran.reset_index(drop=True), sweep.about)
    return Study(sweep, points, [column for column in sweep.chosen if points[column].nunique(dropna=False) > 1])


def _with_plain_names(sweep: SweepResults) -> SweepResults:
    """Return a copy of a sweep with control characters in names and messages spelled out."""
    results = sweep.results.copy()
    for column in results.columns[results.dtypes == "string"]:
        results[column] = results[column].map(one_line, na_action="ignore").astype("string")
    return replace(sweep, results=results, about={one_line(key): value for key, value in sweep.about.items()})


def _with_machines(points: pd.DataFrame, about: dict[str, str]) -> pd.DataFrame:
    """Fields of the machine that only some points set, filled with what the others have."""
    filled = points.copy()
    known = {
        name: fields_of(machine_of(about, name)) for name in points["arch"].unique() if f"{MACHINE}{name}" in about
    }
    for column in [c for c in points.columns if c.startswith("arch.") and points[c].isna().any()]:
        field = column.removeprefix("arch.")
        had = points["arch"].map({name: fields[field][0] for name, fields in known.items() if field in fields})
        filled[column] = points[column].fillna(had.astype(points[column].dtype))
    return filled


def machine_of(about: dict[str, str], name: str) -> ArchSpec:
    """The machine a sweep ran under a name, before what the grid changed in it."""
    return ArchSpec.model_validate_json(about[f"{MACHINE}{name}"])


def _loses_too_much(points: pd.DataFrame) -> pd.Series[bool]:
    """Return which points lose more than `BOUND`, or, without a metric, change the outputs by more than is safe."""
    unscored = points["metric_loss"].isna() & (points["output_change"] > LARGE_CHANGE)
    return (points["metric_loss"] > BOUND) | unscored


def _name(column: str, value: Any) -> str:
    if column in _SPEAK_FOR_THEMSELVES or isinstance(value, str):
        return str(value)
    label = label_of(column)
    return f"{label.text.split('.')[-1].replace('_', ' ')} {label.shown(value)}"
