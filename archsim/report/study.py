"""Study of a sweep: the axes that it varied, and the points to show."""

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
"""Gains against the same machine without memoization."""
GAINS_OVER_FP16 = ("speedup_over_fp16", "energy_saving_over_fp16")
"""Gains against the same machine in fp16 without memoization, where a sweep has precisions besides fp16."""
COSTS = ("time_s", "energy_j")
"""Costs that are shown as well if machines differ, because each machine has its own baseline."""
WORKLOAD = {"trace", "split", "limit"}
BOUND = 1.0
"""Largest loss of a best point, in points of the metric (the paper's bound)."""
MAX_LOSS = 10.0
"""Largest loss that figures show, in points of the metric."""
MAX_SERIES = 6
_SELF_EXPLANATORY = {"policy", "arch", "preset", "trace", "split", "precision", "detail"}


@dataclass(frozen=True, eq=False)
class Study:
    """Finished points of a sweep, and the columns in which they differ."""

    sweep: SweepResults
    points: pd.DataFrame
    """Rows of results without failed points."""
    varied: list[str]
    """Columns set by the grid that have more than one value."""

    @cached_property
    def numeric(self) -> list[str]:
        """Varied numeric columns that no other varied column determines; the first of axes that vary together."""
        numbers = [c for c in self.varied if pd.api.types.is_numeric_dtype(self.points[c]) and c != "seed"]
        names = ["network", *self.categories]
        free = [c for c in numbers if not any(self._determines(name, c) for name in names)]
        return [c for i, c in enumerate(free) if not any(self._determines(earlier, c) for earlier in free[:i])]

    @cached_property
    def categories(self) -> list[str]:
        """Varied columns of names, except network and policy."""
        numbers = {c for c in self.varied if pd.api.types.is_numeric_dtype(self.points[c])}
        return [
            c for c in self.varied if c not in {*numbers, "network", "policy"} and not self._determines("network", c)
        ]

    @cached_property
    def networks(self) -> list[str]:
        """Networks in the order of the grid."""
        return list(dict.fromkeys(self.points["network"]))

    @cached_property
    def machines_differ(self) -> bool:
        """Whether the grid varies any part of the machine."""
        return any(column.split(".")[0] in ("arch", "precision") for column in self.varied)

    @cached_property
    def avoided(self) -> str:
        """Name of the column for avoided work: reuse, or avoided MACs if any policy has no reuse (it skips columns)."""
        return "macs_avoided_fraction" if self.points["reuse_fraction"].isna().any() else "reuse_fraction"

    @cached_property
    def merit_columns(self) -> tuple[str, ...]:
        """Figures of merit in the order of tables."""
        over_fp16 = GAINS_OVER_FP16 if GAINS_OVER_FP16[0] in self.points else ()
        return (self.avoided, "metric_loss", "output_change", *GAINS, *over_fp16)

    @cached_property
    def lost(self) -> str:
        """Name of the column for the cost of reuse: loss of the metric, or change of the outputs without a metric."""
        return "metric_loss" if self.points["metric_loss"].notna().any() else "output_change"

    @cached_property
    def bound(self) -> str:
        """Largest loss of a best point, in words."""
        if self.lost == "metric_loss":
            return f"losing at most {BOUND:g} point"
        return f"changing outputs by at most {100 * LARGE_CHANGE:g} %"

    @cached_property
    def merits(self) -> list[str]:
        """Figures of merit that any point has, in the order of figures, with costs if gains alone would mislead."""
        shown = (self.avoided, self.lost, *GAINS) + (COSTS if self.machines_differ or not len(self.with_reuse) else ())
        return [merit for merit in shown if self.points[merit].notna().any()]

    @cached_property
    def with_reuse(self) -> pd.DataFrame:
        """Points with a reuse policy."""
        return self.points[self.points["policy"] != "none"]

    def over(self, x: str) -> tuple[pd.DataFrame, bool]:
        """Return the points to draw over `x`, with a column `series`, and whether other axes are held constant.

        All points are drawn if they form few series. Otherwise there is one series per policy, with the other axes held
        at its best point.
        """
        others = self._distinguishing(["network", x])
        named = self.points.assign(series=self._named(["policy", *others])).dropna(subset=[x])
        if named["series"].nunique() <= MAX_SERIES:
            return named, False
        keys = ["network", "policy", *others]
        held = self._best_rows(["network", "policy"], self.points)[keys].astype(object)
        held_rows = named.astype(dict.fromkeys(others, object)).merge(held, on=keys)
        return held_rows.assign(series=held_rows["policy"]), True

    def _distinguishing(self, given: list[str]) -> list[str]:
        """Return the varied columns that distinguish points, names first, without those that earlier ones determine."""
        ordered = [*self.categories, *(c for c in self.varied if c not in {*self.categories, "policy", *given})]
        result = list(given)
        for column in ordered:
            if column not in result and not any(self._determines(one, column) for one in result):
                result.append(column)
        return result[len(given) :]

    def best_of(self, columns: list[str], *, without: tuple[str, ...] = ()) -> pd.DataFrame:
        """Return the best point per value of some columns, among the points within the bound on the loss.

        The best point saves most energy, or needs least if machines differ and do the same work.
        """
        points = self.with_reuse if len(self.with_reuse) else self.points
        return self._best_rows(columns, points[~points["policy"].isin(without) & ~_loses_too_much(points)])

    @cached_property
    def best(self) -> pd.DataFrame:
        """Best point of each network and policy."""
        return self.best_of(["network", "policy"])

    @cached_property
    def best_machines(self) -> pd.DataFrame:
        """Best point of each network, without the oracle if any other policy has one."""
        real = self.best_of(["network"], without=("oracle",))
        return real if len(real) else self.best_of(["network"])

    def _best_rows(self, columns: list[str], points: pd.DataFrame) -> pd.DataFrame:
        """Return the best point per value of some columns within the bound, or else the point that loses least."""
        least_energy = self.machines_differ and not WORKLOAD & set(self.varied)
        merit = points["energy_j"] if least_energy else -points["energy_saving"]
        too_much = _loses_too_much(points)
        rank = points["metric_loss"].fillna(points["output_change"]).where(too_much, merit)
        rows = points.assign(too_much=too_much, rank=rank).sort_values(["too_much", "rank"], kind="stable")
        return rows.groupby(columns, sort=False).head(1).sort_values("point").drop(columns=["too_much", "rank"])

    def best_energy(self) -> pd.DataFrame:
        """Return the rows of energy at the best points, with the name of each point as `network`."""
        names = {row["point"]: f"{row['network']}\n{row['policy']}" for _, row in self.best.iterrows()}
        energy = self.sweep.energy[self.sweep.energy["point"].isin(list(names))]
        return energy.assign(network=energy["point"].map(names))

    def _determines(self, one: str, other: str) -> bool:
        """Return whether each value of one column occurs with only one value of the other."""
        return bool(self.points.groupby(one, dropna=False)[other].nunique(dropna=False).max() == 1)

    def _named(self, columns: list[str]) -> pd.Series[Any]:
        parts = [self.points[column].map(lambda value, column=column: _name(column, value)) for column in columns]
        return pd.concat(parts, axis=1).agg(", ".join, axis=1)


def study_of(sweep: SweepResults) -> Study:
    """Make the study of a sweep, with names escaped for display; raise UsageError if no point has run."""
    sweep = _with_plain_names(sweep)
    if sweep.ran.empty:
        errors = sweep.failed["error"]
        again = "archsim sweep GRID -o FOLDER --retry runs it again"
        why = f"; the first failed with: {errors.iloc[0]} ({again})" if len(errors) else ""
        raise UsageError(f"no point of {sweep.n_points} has run yet{why}")
    points = _with_machines(sweep.ran.reset_index(drop=True), sweep.about)
    points = with_gains_over_fp16(points)
    return Study(sweep, points, [column for column in sweep.chosen if points[column].nunique(dropna=False) > 1])


def _with_plain_names(sweep: SweepResults) -> SweepResults:
    """Return a copy of a sweep with control characters in names and messages escaped."""
    results = sweep.results.copy()
    for column in results.columns[results.dtypes == "string"]:
        results[column] = results[column].map(one_line, na_action="ignore").astype("string")
    return replace(sweep, results=results, about={one_line(key): value for key, value in sweep.about.items()})


def _with_machines(points: pd.DataFrame, about: dict[str, str]) -> pd.DataFrame:
    """Return the points, with machine fields that only some points set filled from the machine of the others."""
    filled = points.copy()
    known = {
        name: fields_of(stored_arch(about, name)) for name in points["arch"].unique() if f"{MACHINE}{name}" in about
    }
    for column in [c for c in points.columns if c.startswith("arch.") and points[c].isna().any()]:
        field = column.removeprefix("arch.")
        preset = points["arch"].map({name: fields[field][0] for name, fields in known.items() if field in fields})
        filled[column] = points[column].fillna(preset.astype(points[column].dtype))
    return filled


def with_gains_over_fp16(points: pd.DataFrame) -> pd.DataFrame:
    """Return the points with gains over fp16 without memoization, if there are other precisions beside it.

    Null where no point of fp16 has the same network, trace and machine.
    """
    is_fp16 = points["precision"] == "fp16"
    if is_fp16.all() or not is_fp16.any():
        return points
    same = ["network", "trace", "sequences", "arch", *(c for c in points.columns if c.startswith("arch."))]
    of_fp16 = points[is_fp16].drop_duplicates(same)[[*same, "baseline_cycles", "baseline_energy_j"]]
    both = points.merge(of_fp16, how="left", on=same, suffixes=("", "_fp16"))
    speedup = both["baseline_cycles_fp16"].astype(float) / both["cycles"].astype(float)
    saving = 1 - both["energy_j"] / both["baseline_energy_j_fp16"]
    return points.assign(**dict(zip(GAINS_OVER_FP16, (speedup, saving), strict=True)))


def stored_arch(about: dict[str, str], name: str) -> ArchSpec:
    """Return the machine that a sweep ran under a name, before the changes of the grid."""
    return ArchSpec.model_validate_json(about[f"{MACHINE}{name}"])


def _loses_too_much(points: pd.DataFrame) -> pd.Series[bool]:
    """Return which points lose more than `BOUND`, or change the outputs too much if they have no metric."""
    unscored = points["metric_loss"].isna() & (points["output_change"] > LARGE_CHANGE)
    return (points["metric_loss"] > BOUND) | unscored


def _name(column: str, value: Any) -> str:
    if column in _SELF_EXPLANATORY or isinstance(value, str):
        return str(value)
    label = label_of(column)
    return f"{label.text.split('.')[-1].replace('_', ' ')} {label.shown(value)}"
