"""Shares of a machine's time by cause, from the counters of its simulation, and the gain of each layer."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from archsim.advising.trials import AnyResult, Trial
from archsim.experiment.result import Result
from archsim.experiment.simulated_run import SimulatedRun
from archsim.live.result import SumResult
from archsim.sim import waits
from archsim.sim.sequencer import MACHINE
from archsim.sim.units.unit import DPU, split_unit_name

WORK = "multiplying and accumulating"
WEIGHTS = "waiting for weights from main memory"
GATE = "waiting for the slowest gate"
HEAD = "the head: layers that are not recurrent"
SERIAL = "ends of steps: the next one needs their result"
CAUSES = {
    waits.WEIGHTS: WEIGHTS,
    waits.RESULT_SLOT: GATE,
    waits.DECISION: "waiting for the predictor",
    waits.COLUMN: "waiting for inputs that changed",
    waits.TAIL: "waiting for the tail of few bits",
    waits.BANK: "waiting for a bank of the weight buffer",
    waits.INPUTS: "waiting for input sequences from main memory",
    waits.OUTPUTS: "writing the last outputs to main memory",
    waits.SPILLS: "moving sequences that do not fit on chip",
}
"""Causes of lost time in plain words, by the reason that a unit or the whole machine waits for."""


def results_of(result: AnyResult) -> list[Result]:
    """Return the results of all parts."""
    return list(result.parts.values()) if isinstance(result, SumResult) else [result]


def time_shares(result: AnyResult) -> dict[str, float]:
    """Return the shares of the time by what its dot product units do, largest first; they add up to 1.

    They are means over the units, because all wait for each other at the end of a step. A head comes on top of the
    recurrent layers.
    """
    runs = [one.simulated for one in results_of(result)]
    total_ps = sum(run.run.time_ps + _head_ps(run) for run in runs)
    times = sum((_times_ps(run) for run in runs), Counter())
    shares = {cause: ps / total_ps for cause, ps in times.items() if ps > 0}
    return dict(sorted(shares.items(), key=lambda item: (-item[1], item[0])))


def _head_ps(run: SimulatedRun) -> int:
    return 0 if run.head is None else run.head.run.time_ps


def _times_ps(run: SimulatedRun) -> Counter[str]:
    units = [unit for unit in run.unit_times.worked_ps if split_unit_name(unit)[1] == DPU]
    times: Counter[str] = Counter({HEAD: _head_ps(run)})
    for unit in units:
        times[WORK] += run.unit_times.worked_ps[unit] // len(units)
    for (unit, reason), ps in run.unit_times.waited_ps.items():
        cause = CAUSES.get(reason, f"waiting for {reason}")
        if unit in units:
            times[cause] += ps // len(units)
        elif unit == MACHINE or reason == waits.TAIL:  # the sums are ready then, so no dot product unit works or waits
            times[cause] += ps
    times[SERIAL] = max(0, run.run.time_ps + times[HEAD] - sum(times.values()))
    return times


@dataclass(frozen=True)
class LayerGain:
    """Gain of one layer under a policy."""

    part: str
    layer: str
    avoided: float
    """Share of its multiply-accumulates that are left out."""
    time_share: float
    """Share of the time of all layers without reuse."""
    speedup: float


def layer_gains(trial: Trial, result: AnyResult, plain: AnyResult, names: list[list[str]]) -> list[LayerGain]:
    """Return the gain of each layer; `plain` is the result without reuse, `names` are those of layers by part."""
    parts = list(zip(trial.inferences, results_of(result), results_of(plain), names, strict=True))
    before = [_layer_cycles(baseline) for _, _, baseline, _ in parts]
    total = sum(sum(cycles.values()) for cycles in before)
    gains = []
    for (inference, reusing, _, layer_names), without in zip(parts, before, strict=True):
        within = _layer_cycles(reusing)
        for layer, (avoided, macs) in inference.activity.macs_by_layer().items():
            gains.append(
                LayerGain(
                    part=reusing.record["network"],
                    layer=layer_names[layer],
                    avoided=avoided / macs,
                    time_share=without[layer] / total,
                    speedup=without[layer] / within[layer],
                )
            )
    return gains


def _layer_cycles(result: Result) -> Counter[int]:
    """Return the cycles that the passes of each layer take together, waiting between passes left out."""
    cycles: Counter[int] = Counter()
    for (_, layer, _), ends in result.timing.ends.items():
        cycles[layer] += int(ends[-1])
    return cycles
