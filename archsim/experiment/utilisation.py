"""Utilisation of each unit: shares of a run's time that it works, waits by reason, or is idle."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from archsim.experiment.simulated_run import SimulatedRun
from archsim.sim.actions import INTERMEDIATE_MEMORY, WEIGHT_BUFFER
from archsim.sim.memory.dram import DRAM, DRAM_LABEL
from archsim.sim.sequencer import MACHINE
from archsim.sim.units.unit import split_unit_name


@dataclass(frozen=True)
class UnitUse:
    """Use of one unit as shares of a run's time; the rest is idle."""

    unit: str
    busy: float
    waits: dict[str, float]
    """Share of the time waited, by reason."""

    @property
    def idle(self) -> float:
        """Share of the time without work, because step, pass or machine work elsewhere."""
        return max(0.0, 1 - self.busy - math.fsum(self.waits.values()))


def unit_uses(simulated: SimulatedRun) -> list[UnitUse]:
    """Return the use of the machine as a whole, of each unit, and of the memories."""
    return [_machine(simulated), *_units(simulated), *_buffers(simulated), _main_memory(simulated)]


def _machine(simulated: SimulatedRun) -> UnitUse:
    """Return the use of the whole machine: busy while any pass runs, waiting while all passes wait."""
    waits = _waits(simulated, MACHINE)
    return UnitUse(MACHINE, 1 - math.fsum(waits.values()), waits)


def _units(simulated: SimulatedRun) -> Iterator[UnitUse]:
    times = simulated.unit_times
    names = set(times.worked_ps) | {unit for unit, _ in times.waited_ps}
    for unit in sorted(names - {MACHINE}):
        yield UnitUse(unit, times.worked_ps[unit] / simulated.run.time_ps, _waits(simulated, unit))


def _waits(simulated: SimulatedRun, unit: str) -> dict[str, float]:
    waited = simulated.unit_times.waited_ps
    return {reason: ps / simulated.run.time_ps for (who, reason), ps in sorted(waited.items()) if who == unit}


def _buffers(simulated: SimulatedRun) -> Iterator[UnitUse]:
    """Yield the use of the ports of the weight buffers by fills, and of the intermediate memory, one word per cycle."""
    units = len({unit for unit, label in map(split_unit_name, simulated.unit_times.worked_ps) if label})
    cycles = simulated.run.time_ps / simulated.arch.clock_period_ps
    filled = simulated.count(WEIGHT_BUFFER, "fill")
    yield UnitUse("weight fill", filled / units / cycles, {})
    moved = simulated.count(INTERMEDIATE_MEMORY, "read") + simulated.count(INTERMEDIATE_MEMORY, "write")
    yield UnitUse("intermediate memory", moved / simulated.arch.intermediate_memory.ports / cycles, {})


def _main_memory(simulated: SimulatedRun) -> UnitUse:
    """Return the use of the DRAM: busy with data on the bus, waiting while it refreshes, opens rows or turns round."""
    dram = simulated.arch.dram
    cycles = simulated.run.time_ps / dram.clock_period_ps * dram.channels
    data = (simulated.count(DRAM, "read") + simulated.count(DRAM, "write")) * dram.burst_cycles / cycles
    refresh = simulated.count(DRAM, "refresh") * dram.trfc_cycles / dram.ranks / cycles
    awake = simulated.count(DRAM, "active_standby") / cycles
    return UnitUse(DRAM_LABEL, data, {"refresh": refresh, "rows and turns": max(0.0, awake - data - refresh)})
