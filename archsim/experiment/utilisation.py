"""Why a run takes as long as it does: what each unit does, what it waits for, and when it has nothing to do."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from archsim.experiment.simulated_run import SimulatedRun


@dataclass(frozen=True)
class UnitUse:
    """Shares of a run's time; what is left, the unit is idle."""

    unit: str
    busy: float
    waits: dict[str, float]
    """By reason."""

    @property
    def idle(self) -> float:
        """Nothing to do: the step, the pass or the machine is elsewhere."""
        return max(0.0, 1 - self.busy - math.fsum(self.waits.values()))


def utilisation(timed: SimulatedRun) -> list[UnitUse]:
    """Return the use of the machine as a whole, of each unit, and of the memories."""
    return [_machine(timed), *_units(timed), *_buffers(timed), _main_memory(timed)]


def _machine(timed: SimulatedRun) -> UnitUse:
    """Passes run, or all wait for what a pass needs."""
    waits = _waits(timed, "machine")
    return UnitUse("machine", 1 - math.fsum(waits.values()), waits)


def _units(timed: SimulatedRun) -> Iterator[UnitUse]:
    times = timed.unit_times
    names = set(times.worked_ps) | {unit for unit, _ in times.waited_ps}
    for unit in sorted(names - {"machine"}):
        yield UnitUse(unit, times.worked_ps[unit] / timed.run.time_ps, _waits(timed, unit))


def _waits(timed: SimulatedRun, unit: str) -> dict[str, float]:
    waited = timed.unit_times.waited_ps
    return {reason: ps / timed.run.time_ps for (who, reason), ps in sorted(waited.items()) if who == unit}


def _buffers(timed: SimulatedRun) -> Iterator[UnitUse]:
    """Ports of the weight buffers in use while they are filled, and of the intermediate memory: a word a cycle."""
    units = sum(unit.endswith(".DPU") for unit in timed.unit_times.worked_ps)
    cycles = timed.run.time_ps / timed.arch.clock_period_ps
    filled = timed.count("weight_buffer", "fill")
    yield UnitUse("weight fill", filled / units / cycles, {})
    moved = timed.count("intermediate_memory", "read") + timed.count("intermediate_memory", "write")
    yield UnitUse("intermediate memory", moved / timed.arch.intermediate_memory.ports / cycles, {})


def _main_memory(timed: SimulatedRun) -> UnitUse:
    """Data on the bus; the rest of the time it is awake it refreshes, or opens rows and turns round."""
    dram = timed.arch.dram
    cycles = timed.run.time_ps / dram.clock_period_ps * dram.channels
    data = (timed.count("dram", "read") + timed.count("dram", "write")) * dram.burst_cycles / cycles
    refresh = timed.count("dram", "refresh") * dram.trfc_cycles / dram.ranks / cycles
    awake = timed.count("dram", "active_standby") / cycles
    return UnitUse("DRAM", data, {"refresh": refresh, "rows and turns": max(0.0, awake - data - refresh)})
