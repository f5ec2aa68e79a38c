"""Every table and figure of the paper, from the bundled networks, on one page."""

from __future__ import annotations

from pathlib import Path

from archsim.files import make_folder
from archsim.report.html_tables import failures_table
from archsim.report.page import Section, check_page, write_page
from archsim.reproduce.datasets import datasets
from archsim.reproduce.findings import Findings, Tell, find, make_folders
from archsim.reproduce.paper_tables import (
    area_table,
    averages,
    averages_table,
    networks_table,
    neurons_table,
    provenance_tables,
)
from archsim.reproduce.pictures import area_picture, averages_picture, pictures
from archsim.sweeps.pools import check_jobs

LEAD = "Neuron-level fuzzy memoization (Silfa, Arnau, González, arXiv 2202.06563) on the networks bundled with archsim."


def reproduce(folder: str | Path, *, quick: bool = False, jobs: int | None = None, tell: Tell) -> list[Findings]:
    """Make what `folder` does not hold yet, write `report.html` and `figures/` into it, and return what was found.

    quick: short bundled traces only. Else all of them, and the test sets under `$ARCHSIM_DATA`, which come first.
    """
    folder = Path(folder)
    check_jobs(jobs)
    make_folder(folder)
    check_page(folder)
    chosen = datasets(quick=quick)
    for dataset in chosen:
        make_folders(folder / dataset.name)
    found = [find(dataset, folder / dataset.name, jobs, tell) for dataset in chosen]
    tell("figures", 0.0, "")
    means = averages(found)
    summary = Section("Summary", pictures=[averages_picture(means)], tables=[averages_table(means)])
    sections = [summary, *(_section(findings) for findings in found)]
    machine = Section(
        "Area and provenance", pictures=[area_picture()], tables=[area_table(), *provenance_tables(found)]
    )
    write_page(folder, "The paper reproduced", LEAD, [*sections, machine])
    tell("figures", 1.0, str(folder / "report.html"))
    return found


def _section(findings: Findings) -> Section:
    tables = [networks_table(findings), neurons_table(findings), *map(failures_table, findings.failed)]
    return Section(findings.dataset.title, pictures=pictures(findings), tables=tables)
