"""The tables `archsim run` prints."""

from __future__ import annotations

from rich.table import Table

from archsim.cli.console import percent
from archsim.experiment.record import Record
from archsim.experiment.result import Result
from archsim.paper import AVERAGES

LEFT = ("network", "trace", "policy", "θ")
RIGHT = ("reuse", "metric", "before", "after", "loss", "speedup", "energy saving")
MEANS = ("reuse_fraction", "speedup", "energy_saving")


def summary_table(records: list[Record]) -> Table:
    """One row a network, their mean if there are several, and the paper's averages."""
    table = Table(title="Neuron-level fuzzy memoization")
    for column in LEFT:
        table.add_column(column)
    for column in RIGHT:
        table.add_column(column, justify="right")
    for record in records:
        table.add_row(*_cells(record))
    table.add_section()
    if len(records) > 1:
        means = {key: sum(r[key] for r in records) / len(records) for key in MEANS}
        table.add_row(*_mean_cells(f"mean of {len(records)}", "", means))
    paper = {"reuse_fraction": AVERAGES.reuse, "speedup": AVERAGES.speedup, "energy_saving": AVERAGES.energy_saving}
    table.add_row(*_mean_cells("paper", "mean of its four", paper), style="dim")
    return table


def energy_table(result: Result) -> Table:
    """Energy by component and action, with and without the policy."""
    baseline = {(row.component, row.action): row.joules for row in result.baseline_energy_rows}
    ours = {(row.component, row.action): row.joules for row in result.energy_rows}
    table = Table(title=f"{result.record['network']}: energy in µJ")
    for column in ("component", "action"):
        table.add_column(column)
    for column in ("baseline", result.record["policy"]):
        table.add_column(column, justify="right")
    for key in dict.fromkeys([*baseline, *ours]):
        table.add_row(*key, *(f"{1e6 * side[key]:.3f}" if key in side else "–" for side in (baseline, ours)))
    table.add_section()
    table.add_row("sum", "", *(f"{1e6 * sum(side.values()):.3f}" for side in (baseline, ours)))
    return table


def _cells(r: Record) -> list[str]:
    metric = [_figure(r[key]) for key in ("metric_baseline", "metric_value", "metric_loss")]
    names = [r["network"], r["trace"], r["policy"], _theta(r["threshold"])]
    return [*names, percent(r["reuse_fraction"]), r["metric"] or "–", *metric, *_gains(r)]


def _mean_cells(name: str, trace: str, means: Record) -> list[str]:
    return [name, trace, "", "", percent(means["reuse_fraction"]), "", "", "", "", *_gains(means)]


def _gains(r: Record) -> list[str]:
    return [f"{r['speedup']:.2f}x", percent(r["energy_saving"])]


def _theta(threshold: object) -> str:
    if threshold is None:
        return "–"
    return f"{threshold:g}" if isinstance(threshold, float) else "per layer"


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
