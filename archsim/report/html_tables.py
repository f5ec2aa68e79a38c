"""Tables of a report: best points, all points, failures, machines, provenance."""

from __future__ import annotations

from typing import Any

import pandas as pd

from archsim.config.arch import fields_of
from archsim.report.labels import label_of
from archsim.report.page import Table
from archsim.report.study import Study, stored_arch
from archsim.sweeps.frames import SweepResults
from archsim.sweeps.store import MACHINE

MAX_ROWS = 500
_NAMES = ("network", "policy")
_SIZES = ("sequences", "energy_j", "time_s", "dram_bytes", "area_mm2")


def best_table(study: Study) -> Table:
    """Return the table of the best point of each network and policy."""
    columns = [*_NAMES, *(c for c in study.varied if c not in _NAMES), *study.merit_columns, *_SIZES]
    if "threshold" in study.best and "threshold" not in columns:
        columns.insert(2, "threshold")
    note = (
        f"Per network and policy, the point that saves most energy (needs least, if machines differ), {study.bound}. "
        "The choice is made on the data shown here, so it is too optimistic for few sequences."
    )
    return _table("Best points", study.best, columns, note)


def all_table(study: Study) -> Table:
    """Return the table of all finished points, up to `MAX_ROWS`."""
    columns = ["point", *dict.fromkeys([*_NAMES, *study.varied]), *study.merit_columns]
    shown = (
        f"The first {MAX_ROWS} of {len(study.points)}; all are in results.csv." if len(study.points) > MAX_ROWS else ""
    )
    return _table(f"All {len(study.points)} points", study.points.head(MAX_ROWS), columns, shown, folded=True)


def failures_table(sweep: SweepResults) -> Table:
    """Return the table of failed points and their error messages."""
    failed = sweep.failed
    columns = [c for c in failed.columns if c in {*_NAMES, "point", "threshold"} or c.startswith("arch.")]
    rows = [[*(_cell(c, row[c]) for c in columns), str(row["error"])] for _, row in failed.iterrows()]
    return Table("Points that failed", [*columns, "message"], rows)


def machine_tables(study: Study) -> list[Table]:
    """Return one table per machine of the grid, with value, unit, certainty and source of each field."""
    columns = ["parameter", "value", "unit", "certainty", "source"]
    tables = []
    for name, rows in study.points.groupby("arch", sort=False):
        chosen = {c.removeprefix("arch."): rows[c].unique() for c in study.sweep.chosen if c.startswith("arch.")}
        fields = []
        for field, (value, info) in fields_of(stored_arch(study.sweep.about, str(name))).items():
            known = [info.get(key, "") for key in columns[2:]]
            if field in chosen:
                value = chosen[field][0] if len(chosen[field]) == 1 else "several"
                known[1:] = ["", "set by the grid"]
            fields.append([field, str(value), *known])
        tables.append(Table(f"Machine {name}", columns, fields, folded=True))
    return tables


def provenance_table(about: dict[str, str]) -> Table:
    """Return the table of versions, digests and the command."""
    rows = [[key, value] for key, value in about.items() if key != "grid" and not key.startswith(MACHINE)]
    return Table("", ["", ""], rows)


def _table(title: str, frame: pd.DataFrame, columns: list[str], note: str = "", *, folded: bool = False) -> Table:
    columns = [c for c in columns if c in frame.columns]
    heads = [label_of(c).axis for c in columns]
    rows = [[_cell(c, row[c]) for c in columns] for _, row in frame.iterrows()]
    return Table(title, heads, rows, note, folded)


def _cell(column: str, value: Any) -> str:
    if value is None or pd.isna(value):
        return "–"
    if column in {"point", "sequences"}:
        return str(value)
    return label_of(column).number(value)
