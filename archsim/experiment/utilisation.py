"""Why a run takes as long as it does: what each unit does, what it waits for, and when it has nothing to do."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from archsim.experiment.simulated_run import SimulatedRun
from archsim.sim.units.unit import split_name


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


def utilisation(simulated: SimulatedRun) -> list[UnitUse]:
    """Return the use of the machine as a whole, of each unit, and of the memories."""
    return [_machine(simulated), *_units(simulated), *_buffers(simulated), _main_memory(simulated)]


def _machine(simulated: SimulatedRun) -> UnitUse:
    """Passes run, or all wait for what a pass needs."""
    waits = _waits(simulated, "machine")
    return UnitUse("machine", 1 - math.fsum(waits.values()), waits)


def _units(simulated: SimulatedRun) -> Iterator[UnitUse]:
    times = simulated.unit_times
    names = set(times.worked_ps) | {unit for unit, _ in times.waited_ps}
    for unit in sorted(names - {"machine"}):
        yield UnitUse(unit, times.worked_ps[unit] / simulated.run.time_ps, _waits(simulated, unit))


def _waits(simulated: SimulatedRun, unit: str) -> dict[str, float]:
    waited = simulated.unit_times.waited_ps
    return {reason: ps / simulated.run.time_ps for (who, reason), ps in sorted(waited.items()) if who == unit}


def _buffers(simulated: SimulatedRun) -> Iterator[UnitUse]:
    """Ports of the weight buffers in use while they are filled, and of the intermediate memory: a word a cycle."""
    units = len({unit for unit, label in map(split_name, simulated.unit_times.worked_ps) if label})
    cycles = simulated.run.time_ps / simulated.arch.clock_period_ps
    filled = simulated.count("weight_buffer", "fill")
    yield UnitUse("weight fill", filled / units / cycles, {})
    moved = simulated.count("intermediate_memory", "read") + simulated.count("intermediate_memory", "write")
    yield UnitUse("intermediate memory", moved / simulated.arch.intermediate_memory.ports / cycles, {})


def _main_memory(simulated: SimulatedRun) -> UnitUse:
    """Data on the bus; the rest of the time it is awake it refreshes, or opens rows and turns round."""
    dram = simulated.arch.dram
    cycles = simulated.run.time_ps / dram.clock_period_ps * dram.channels
    data = (simulated.count("dram", "read") + simulated.count("dram", "write")) * dram.burst_cycles / cycles
    refresh = simulated.count("dram", "refresh") * dram.trfc_cycles / dram.ranks / cycles
    awake = simulated.count("dram", "active_standby") / cycles
    return UnitUse("DRAM", data, {"refresh": refresh, "rows and turns": max(0.0, awake - data - refresh)})
