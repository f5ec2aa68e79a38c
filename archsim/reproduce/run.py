"""Every table and figure of the paper, from the bundled networks, on one page."""

from __future__ import annotations

from pathlib import Path

from archsim.files import make_folder
from archsim.report.html_tables import failures_table
from archsim.report.page import Section, check_page, write_page
from archsim.reproduce.dataset_results import DatasetResults, find, make_folders
from archsim.reproduce.datasets import datasets
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
from archsim.sweeps.run import StageCallback

LEAD = "Neuron-level fuzzy memoization (Silfa, Arnau, González, arXiv 2202.06563) on the networks bundled with archsim."


def reproduce(
    folder: str | Path, *, quick: bool = False, jobs: int | None = None, on_progress: StageCallback
) -> list[DatasetResults]:
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
    found = [find(dataset, folder / dataset.name, jobs, on_progress) for dataset in chosen]
    on_progress("figures", 0.0, "")
    means = averages(found)
    summary = Section("Summary", pictures=[averages_picture(means)], tables=[averages_table(means)])
    sections = [summary, *(_section(results) for results in found)]
    machine = Section(
        "Area and provenance", pictures=[area_picture()], tables=[area_table(), *provenance_tables(found)]
    )
    write_page(folder, "The paper reproduced", LEAD, [*sections, machine])
    on_progress("figures", 1.0, str(folder / "report.html"))
    return found


def _section(results: DatasetResults) -> Section:
    tables = [networks_table(results), neurons_table(results), *map(failures_table, results.failed)]
    return Section(results.dataset.title, pictures=pictures(results), tables=tables)
