"""The tables `archsim run` prints; the summary fits 80 columns."""

from __future__ import annotations

from rich import box
from rich.table import Table

from archsim.cli.console import percent
from archsim.experiment.record import Record
from archsim.experiment.result import Result
from archsim.paper import AVERAGES

LEFT = ("network", "trace", "policy, θ")
MEANS = ("reuse_fraction", "speedup", "energy_saving")


def summary_table(records: list[Record], *, with_paper: bool) -> Table:
    """One row a network, their mean if there are several, and the paper's averages if asked for."""
    title = f"neuron-level fuzzy memoization on {', '.join(sorted({r['arch'] for r in records}))}"
    metrics = {r["metric"] for r in records} - {None}
    shared_metric = metrics.pop() if len(metrics) == 1 else None
    table = _table(title, LEFT, ("reuse", shared_metric or "metric", "loss", "speedup", "energy saving"))
    for record in records:
        table.add_row(*_cells(record, name_metric=shared_metric is None))
    if len(records) > 1 or with_paper:
        table.add_section()
    if len(records) > 1:
        means = {key: sum(r[key] for r in records) / len(records) for key in MEANS}
        table.add_row(*_mean_cells(f"mean of {len(records)}", "", means))
    if with_paper:
        paper = {"reuse_fraction": AVERAGES.reuse, "speedup": AVERAGES.speedup, "energy_saving": AVERAGES.energy_saving}
        table.add_row(*_mean_cells("paper", "its four", paper), style="dim")
    return table


def energy_table(result: Result) -> Table:
    """Energy by component and action, with and without the policy."""
    baseline = {(row.component, row.action): row.joules for row in result.baseline_energy_rows}
    ours = {(row.component, row.action): row.joules for row in result.energy_rows}
    right = ("baseline", result.record["policy"])
    table = _table(f"{result.record['network']}: energy in µJ", ("component", "action"), right)
    for key in sorted({*baseline, *ours}):
        table.add_row(*key, *(f"{1e6 * side[key]:.3f}" if key in side else "–" for side in (baseline, ours)))
    table.add_section()
    table.add_row("sum", "", *(f"{1e6 * sum(side.values()):.3f}" for side in (baseline, ours)))
    return table


def _table(title: str, left: tuple[str, ...], right: tuple[str, ...]) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, title_justify="left")
    for column in left:
        table.add_column(column, overflow="fold")
    for column in right:
        table.add_column(column, justify="right")
    return table


def _cells(r: Record, *, name_metric: bool) -> list[str]:
    metric = loss = "–"
    if r["metric"] is not None:
        metric = f"{r['metric_baseline']:.2f} → {r['metric_value']:.2f}"
        loss = f"{r['metric_loss']:.2f}"
    if name_metric and r["metric"]:
        metric = f"{r['metric']} {metric}"
    return [r["network"], r["trace"], _policy(r), percent(r["reuse_fraction"]), metric, loss, *_gains(r)]


def _policy(r: Record) -> str:
    theta = r["threshold"]
    if theta is None:
        return str(r["policy"])
    return f"{r['policy']} {theta:g}" if isinstance(theta, float) else f"{r['policy']} per layer"


def _mean_cells(name: str, trace: str, means: Record) -> list[str]:
    return [name, trace, "", percent(means["reuse_fraction"]), "", "", *_gains(means)]


def _gains(r: Record) -> list[str]:
    return [f"{r['speedup']:.2f}x", percent(r["energy_saving"])]
