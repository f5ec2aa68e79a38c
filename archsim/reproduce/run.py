"""Reproduction of every table and figure of the paper, from the bundled networks, on one page."""

from __future__ import annotations

from pathlib import Path

from archsim.files import make_folder
from archsim.report.html_tables import failures_table
from archsim.report.page import Section, check_page, write_page
from archsim.reproduce.dataset_results import DatasetResults, make_folders, run_dataset
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
    """Make the results that `folder` does not hold yet, write `report.html` and `figures/`, and return the results.

    quick: short bundled traces only. Otherwise whole traces, and first the test sets under `$ARCHSIM_DATA`.
    """
    folder = Path(folder)
    check_jobs(jobs)
    make_folder(folder)
    check_page(folder)
    chosen = datasets(quick=quick)
    for dataset in chosen:
        make_folders(folder / dataset.name)
    results = [run_dataset(dataset, folder / dataset.name, jobs, on_progress) for dataset in chosen]
    on_progress("figures", 0.0, "")
    means = averages(results)
    summary = Section("Summary", pictures=[averages_picture(means)], tables=[averages_table(means)])
    sections = [summary, *(_section(of_dataset) for of_dataset in results)]
    machine = Section(
        "Area and provenance", pictures=[area_picture()], tables=[area_table(), *provenance_tables(results)]
    )
    write_page(folder, "The paper reproduced", LEAD, [*sections, machine])
    on_progress("figures", 1.0, str(folder / "report.html"))
    return results


def _section(results: DatasetResults) -> Section:
    tables = [networks_table(results), neurons_table(results), *map(failures_table, results.failed)]
    return Section(results.dataset.title, pictures=pictures(results), tables=tables)
