"""Report of a sweep on one page: results over the axes, energy and time, configuration, provenance."""

from __future__ import annotations

from pathlib import Path

from archsim.report.figures import by_name, energy_breakdown, over_axis, tradeoff, unit_use
from archsim.report.html_tables import all_table, best_table, failures_table, machine_tables, provenance_table
from archsim.report.labels import label_of
from archsim.report.page import Picture, Section, Table, write_page
from archsim.report.study import Study, study_of
from archsim.sweeps.frames import read_sweep


def write_report(folder: str | Path) -> Path:
    """Write `report.html` and `figures/` beside a sweep's results, and return the path of the page.

    The report covers the points finished so far. Raises UsageError for a folder without a sweep or a finished point.
    """
    folder = Path(folder)
    study = study_of(read_sweep(folder))
    sections = list(_sections(study))
    return write_page(folder, f"Sweep {folder.resolve().name}", _lead(study), sections)


def _lead(study: Study) -> str:
    """Return the main result in a few sentences."""
    failed = len(study.sweep.failed)
    counts = f"{len(study.points)} of {study.sweep.n_points} points have run" + (
        f", {failed} failed." if failed else "."
    )
    best = []
    for _, row in study.best_machines.iterrows():
        saving, speedup = (label_of(gain).shown(row[gain]) for gain in ("energy_saving", "speedup"))
        best.append(
            f"{row['network']} {row['policy']}, {saving} energy saved, {speedup} ({row['sequences']} sequences)"
        )
    oracle = (
        " The oracle is left out, because no machine can have it." if "oracle" in set(study.points["policy"]) else ""
    )
    return f"{counts} Best, {study.bound}: {'; '.join(best)}.{oracle}" if best else counts


def _sections(study: Study) -> list[Section]:
    sections = [Section("Results", pictures=_result_pictures(study), tables=_result_tables(study))]
    if len(study.best):
        sections.append(Section("Energy and time", pictures=_detail_pictures(study)))
    grid = study.sweep.about["grid"]
    sections.append(Section("Configuration", "The grid of the sweep.", tables=machine_tables(study), code=grid))
    return [*sections, Section("Provenance", tables=[provenance_table(study.sweep.about)])]


def _result_pictures(study: Study) -> list[Picture]:
    pictures = []
    if len(study.points) > 1:
        pictures.append(Picture(tradeoff.NAME, tradeoff.TITLE, tradeoff.caption(study), tradeoff.draw(study)))
    for x in study.numeric:
        title = f"Over {label_of(x).text}"
        pictures.append(Picture(over_axis.name(x), title, over_axis.caption(study, x), over_axis.draw(study, x)))
    for category in ["network", *study.categories] if len(study.best) else []:
        title = f"By {label_of(category).text}"
        picture = by_name.draw(study, category)
        pictures.append(Picture(by_name.name(category), title, by_name.caption(study, category), picture))
    return pictures


def _detail_pictures(study: Study) -> list[Picture]:
    energy = energy_breakdown.draw(study.best_energy())
    caption = f"{energy_breakdown.CAPTION} At the best point of each network and policy."
    return [
        Picture(energy_breakdown.NAME, energy_breakdown.TITLE, caption, energy),
        Picture(unit_use.NAME, unit_use.TITLE, unit_use.CAPTION, unit_use.draw(study)),
    ]


def _result_tables(study: Study) -> list[Table]:
    tables = [best_table(study)] if len(study.best) else []
    if len(study.sweep.failed):
        tables.append(failures_table(study.sweep))
    return [*tables, all_table(study)]
