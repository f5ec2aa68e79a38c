"""Page of an exploration: recommendation, front, losses, and the grid to run it again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from archsim.exploration import figure
from archsim.exploration.advice import RULE, bound_text
from archsim.exploration.candidates import NONE
from archsim.exploration.precisions import OWN
from archsim.exploration.search import FILE, SWEEP
from archsim.report.figures import tradeoff
from archsim.report.html_tables import all_table, machine_tables, provenance_table
from archsim.report.labels import Label
from archsim.report.page import Picture, Section, Table, write_page
from archsim.report.study import Study, study_of
from archsim.sweeps.frames import EXPORTED
from archsim.sweeps.store import DATABASE

if TYPE_CHECKING:
    from archsim.exploration.points import Row
    from archsim.exploration.result import Exploration

LABELS = {
    "policy": Label("policy"),
    "threshold": Label("θ"),
    "width_bits": Label("FMU", "bits", digits=9),
    "avoided": Label("reuse", "%", 100),
    "metric_loss": Label("loss", "points", digits=2),
    "output_change": Label("change", "%", 100, digits=2),
    "speedup": Label("speedup", "x", digits=4),
    "energy_saving": Label("saving", "%", 100),
    "more_area": Label("area", "+%", 100, digits=2),
    "product": Label("product"),
}
"""Columns shown per point, in this order."""
UNSURE = "*"
FORMATS_NOTE = (
    "Above, loss, change, gains and area are beside fp16 without reuse: a loss is the sum of those of precision and "
    "reuse, a change of outputs the most that the two can amount to, and an interval that of the reuse."
)
"""Note where there are several precisions."""
NOTE = f"{UNSURE} within the bound, but its 95 % interval reaches beyond."


def write_exploration(exploration: Exploration, folder: str | Path) -> Path:
    """Write `explore.html` and its figures (.svg and .png in `figures`) into a folder; return the page's path."""
    study = study_of(exploration.sweep)
    sections = [_front_section(exploration), _loss_section(study), _again_section(study)]
    return write_page(Path(folder), f"Exploration of {exploration.network}", exploration.recommendation, sections, FILE)


def files_of(folder: Path) -> list[Path]:
    """Return the files of an exploration, without its figures."""
    return [folder / FILE, *(folder / SWEEP / name for name in (DATABASE, *EXPORTED))]


def cells(row: Row) -> list[str]:
    """Return the texts of one point, one per column of `LABELS`."""
    return [_cell(row, column) for column in LABELS]


def chosen_on(exploration: Exploration) -> str:
    """Return a sentence on the data that θ was chosen on, and on the data to report."""
    data = f"θ was chosen on trace {exploration.trace}, {exploration.reference['sequences']} sequences"
    if exploration.split == "valid":
        return f"{data}: report results on other data."
    where = "(--split valid with $ARCHSIM_DATA, or --trace)"
    return f"{data}: choose it on validation data {where} and report on other data."


def not_run(exploration: Exploration) -> str:
    """Return a sentence on the policies that could not run; empty if all could."""
    by_reason: dict[str, list[str]] = {}
    for policy, reason in exploration.left_out.items():
        by_reason.setdefault(reason.replace(f"policy {policy!r}", "it"), []).append(policy)
    reasons = "; ".join(f"{', '.join(policies)} ({reason})" for reason, policies in by_reason.items())
    return f"Left out, because they cannot run: {reasons}." if reasons else ""


def _cell(row: Row, column: str) -> str:
    value = row[column]
    if column == "policy":
        return f"{value}{row['format']}"
    if column == "metric_loss" and row["policy"] != NONE and not pd.isna(row["metric_loss_high"]):
        half = (row["metric_loss_high"] - row["metric_loss_low"]) / 2
        return f"{value + 0.0:.2f} ±{half:.2f}{UNSURE if row['unsure'] else ''}"
    return LABELS[column].number(None if pd.isna(value) else float(value))


def _front_section(exploration: Exploration) -> Section:
    lead = f"{RULE} The bound is {bound_text(exploration)}. {chosen_on(exploration)} {not_run(exploration)}".rstrip()
    heads = [label.axis for label in LABELS.values()]
    tables = [
        Table("The front", heads, [cells(row) for _, row in exploration.front.iterrows()], NOTE),
        Table("Best of each other policy", heads, [cells(row) for _, row in exploration.others.iterrows()]),
    ]
    if OWN["speedup"] in exploration.points:
        tables.append(_own_table(exploration))
    picture = Picture(figure.NAME, figure.TITLE, figure.CAPTION, figure.draw(exploration))
    return Section("Front", lead, [picture], [table for table in tables if table.rows])


def _own_table(exploration: Exploration) -> Table:
    """Return the front beside the same precision without reuse, where the other tables are beside fp16."""
    heads = [label.axis for column, label in LABELS.items() if column in ("policy", "threshold", *OWN)]
    rows = []
    for _, row in exploration.front.iterrows():
        own = row.drop(list(OWN)).rename({name: column for column, name in OWN.items()})
        rows.append([_cell(own, column) for column in LABELS if column in ("policy", "threshold", *OWN)])
    return Table("The front beside the same precision without reuse", heads, rows, FORMATS_NOTE)


def _loss_section(study: Study) -> Section:
    picture = Picture(tradeoff.NAME, tradeoff.TITLE, tradeoff.caption(study), tradeoff.draw(study))
    return Section("What is lost", pictures=[picture], tables=[all_table(study)])


def _again_section(study: Study) -> Section:
    grid = study.sweep.about["grid"]
    tables = [*machine_tables(study), provenance_table(study.sweep.about)]
    return Section("Configuration and provenance", "The points as a grid.", tables=tables, code=grid)
