"""Tables that `archsim run` prints. The summary fits 80 columns."""

from __future__ import annotations

import math

from rich import box
from rich.table import Table
from rich.text import Text

from archsim.cli.console import percent
from archsim.escaping import one_line
from archsim.experiment.record import LARGE_CHANGE, Record
from archsim.experiment.result import Result
from archsim.experiment.utilisation import unit_uses
from archsim.paper import AVERAGES
from archsim.sums import mean

MEANS = ("reuse_fraction", "macs_avoided_fraction", "metric_loss", "speedup", "energy_saving")


def summary_table(records: list[Record], *, with_paper: bool) -> Table:
    """Return one row per run, the mean over networks of each policy, and the paper's averages if `with_paper`.

    ± is half the width of the 95 % interval over resampled traces. The change of the outputs takes the place of a
    missing metric.
    """
    records = [_with_plain_names(r) for r in records]
    title = f"neuron-level fuzzy memoization on {', '.join(sorted({r['arch'] for r in records}))}"
    right = ("reuse", "metric ± 95 %\n→ with reuse", "loss ±\nchange", "speedup", "saving")
    table = _table(title, ("network,\ntrace", "policy\nand θ"), right)
    for record in records:
        table.add_row(*_cells(record))
    policies = list(dict.fromkeys(r["policy"] for r in records))
    if len(records) > len(policies) or with_paper:
        table.add_section()
    for policy in policies:
        of_policy = [r for r in records if r["policy"] == policy]
        if len(of_policy) > 1:
            table.add_row(f"mean of {len(of_policy)}", policy, *_mean_cells(_means(of_policy)))
    if with_paper:
        figures = (AVERAGES.reuse, None, None, AVERAGES.speedup, AVERAGES.energy_saving)
        paper = dict(zip(MEANS, figures, strict=True))
        table.add_row("paper's four", "", *_mean_cells(paper), style="dim")
    return table


def unscored(results: list[Result]) -> list[str]:
    """Return, for each run without a metric, a line with the reason."""
    lines = []
    for result in results:
        r = _with_plain_names(result.record)
        if r["metric"] is None:
            why = f"trace {r['trace']} has no targets" if result.has_task else f"network {r['network']} names no metric"
            lines.append(f"no metric: {why}")
    return list(dict.fromkeys(lines))


def self_ranged(results: list[Result]) -> list[str]:
    """Return, for each network without the ranges that its precision needs, a line on where they come from."""
    records = [result.record for result in results if result.own_ranges]
    lines = [
        f"{r['precision']}: network {r['network']} has no ranges of inputs in [scales], so they were measured on trace "
        f"{r['trace']} itself: archsim calibrate --scales-only --save measures them on calibration data"
        for r in map(_with_plain_names, records)
    ]
    return list(dict.fromkeys(lines))


def head_table(records: list[Record]) -> Table:
    """Return time and energy of the heads (the part that is not recurrent), and the gains that include them."""
    right = ("time", "of all", "energy", "of all", "speedup", "saving")
    title = "heads (the part that is not recurrent) alone, and gains that include them"
    table = _table(title, ("network", "policy"), right)
    for r in map(_with_plain_names, records):
        if r["head_macs"] is not None:
            time, energy = r["head_time_s"], r["head_energy_j"]
            shares = percent(time / (time + r["time_s"])), percent(energy / (energy + r["energy_j"]))
            gains = f"{r['speedup_with_head']:.2f}x", percent(r["energy_saving_with_head"])
            cells = f"{time:.3g} s", shares[0], f"{energy:.3g} J", shares[1]
            table.add_row(r["network"], r["policy"], *cells, *gains)
    return table


def energy_table(result: Result) -> Table:
    """Return the energy by component and action, with and without the policy."""
    baseline = {(row.component, row.action): row.joules for row in result.baseline.simulated.energy}
    ours = {(row.component, row.action): row.joules for row in result.simulated.energy}
    right = ("baseline", result.record["policy"])
    table = _table(f"{one_line(result.record['network'])}: energy in µJ", ("component", "action"), right)
    for key in sorted({*baseline, *ours}):
        table.add_row(*key, *(f"{1e6 * side[key]:.3f}" if key in side else "–" for side in (baseline, ours)))
    table.add_section()
    table.add_row("sum", "", *(f"{1e6 * math.fsum(side.values()):.3f}" for side in (baseline, ours)))
    return table


def utilisation_table(result: Result) -> Table:
    """Return the use of each unit with and without the policy, which explains the time of the run."""
    title = f"{one_line(result.record['network'])}: use of each unit, % of the time"
    table = _table(title, ("machine", "unit"), ("busy", "idle"))
    table.add_column("waits for", overflow="fold")
    sides = ((result.record["policy"], result.simulated), ("baseline", result.baseline.simulated))
    for name, simulated in sides if result.simulated is not result.baseline.simulated else sides[:1]:
        for use in unit_uses(simulated):
            largest = sorted(use.waits.items(), key=lambda item: -item[1])
            waits = ", ".join(f"{reason} {100 * share:.1f}" for reason, share in largest if share >= 0.0005)
            table.add_row(name, use.unit, f"{100 * use.busy:.1f}", f"{100 * use.idle:.1f}", waits or "–")
        table.add_section()
    return table


def sensitivity_table(result: Result) -> Table:
    """Return the energy saving over the plausible ranges of the constants, each changed alone, then all of them."""
    sensitivity = result.sensitivity
    names = f"{one_line(result.record['network'])}, {one_line(result.record['policy'])}"
    title = f"{names}: energy saving if the constants were others"
    table = _table(title, ("", "technology"), ("MAC", "DRAM", "saving"))
    rows = [("as configured", sensitivity.nominal), *(("one changed", saving) for saving in sensitivity.alone)]
    for label, saving in [*rows, ("lowest of all", sensitivity.lowest), ("highest of all", sensitivity.highest)]:
        few_bits = "" if saving.few_bits == 1 else f", few bits x {saving.few_bits:g}"
        constants = f"{saving.mac_pj:g} pJ{few_bits}", f"{saving.dram_pj_per_bit:g} pJ/bit"
        table.add_row(label, saving.technology, *constants, percent(saving.saving))
    return table


def _table(title: str, left: tuple[str, ...], right: tuple[str, ...]) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, title_justify="left")
    for column in left:
        table.add_column(column, overflow="fold")
    for column in right:
        table.add_column(column, justify="right")
    return table


def _with_plain_names(r: Record) -> Record:
    """Return a copy of a record with control characters in its texts escaped."""
    return {key: one_line(value) if isinstance(value, str) else value for key, value in r.items()}


def _cells(r: Record) -> list[str | Text]:
    workload = r["network"] if r["trace"] == r["network"] else f"{r['network']}\n{r['trace']}"
    if r["metric"] is None:
        return [workload, _policy(r), _avoided(r), _change_instead(r), "–", *_gains(r)]
    metric = f"{r['metric']} {_with_error(r, 'metric_baseline')}\n→ {_with_error(r, 'metric_value')}"
    loss = f"{r['metric_loss']:.2f}±{_half_width(r, 'metric_loss'):.2f}"
    return [workload, _policy(r), _avoided(r), metric, f"{loss}\n{_change(r)}", *_gains(r)]


def _change(r: Record) -> str:
    """Return the change of the outputs, or a dash if the two runs have different lengths."""
    return "–" if r["output_change"] is None else percent(r["output_change"])


def _change_instead(r: Record) -> Text:
    """Return the cell that replaces a missing metric: the change of the outputs against the run without reuse."""
    change = r["output_change"]
    alarming = change is not None and change > LARGE_CHANGE
    return Text(f"outputs changed\n{_change(r)}", style="bold red" if alarming else "")


def _avoided(r: Record) -> str:
    """Return the share of reuse, or of avoided MACs for a policy that skips columns, which has no reuse."""
    reuse = r["reuse_fraction"]
    return f"{percent(r['macs_avoided_fraction'])}\nof MACs" if reuse is None else percent(reuse)


def _with_error(r: Record, key: str) -> str:
    return f"{r[key]:.2f}±{_half_width(r, key):.1f}"


def _half_width(r: Record, key: str) -> float:
    return float(r[f"{key}_high"] - r[f"{key}_low"]) / 2


def _policy(r: Record) -> str:
    theta = r["threshold"]
    if theta is None:
        return str(r["policy"])
    scope = "per gate" if str(theta).count("[") > 1 else "per layer"
    return f"{r['policy']}\n{theta:g}" if isinstance(theta, float) else f"{r['policy']}\n{scope}"


def _means(records: list[Record]) -> Record:
    return {key: _mean([r[key] for r in records]) for key in MEANS}


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return mean(known) if len(known) == len(values) else None


def _mean_cells(means: Record) -> list[str]:
    loss = means["metric_loss"]
    return [_avoided(means), "", "" if loss is None else f"{loss:.2f}", *_gains(means)]


def _gains(r: Record) -> list[str]:
    return [f"{r['speedup']:.2f}x", percent(r["energy_saving"])]
