"""JSON form of a simulated run: everything behind its time and energy, without the ends of single steps."""

from __future__ import annotations

from collections import Counter

from archsim.config.arch import ArchSpec
from archsim.config.technology import TechnologySpec
from archsim.energy.ledger import energy_rows
from archsim.energy.parts import area_mm2
from archsim.experiment.simulated_run import CostedRun, SimulatedRun
from archsim.sim.items import RunLength
from archsim.sim.listeners.counters import UnitTimes
from archsim.validation import FrozenRecord

Count = tuple[str, str, int]
"""Component and action with a number of times, or unit and reason with picoseconds."""


class StoredTotals(FrozenRecord):
    """Time and counted actions of the recurrent layers, or of the head."""

    time_ps: int
    cycles: int
    events: int
    counts: tuple[Count, ...]
    """Counts by component and action."""


class StoredRun(StoredTotals):
    """Whole run of one machine."""

    head: StoredTotals | None
    worked_ps: tuple[tuple[str, int], ...]
    """Busy picoseconds by unit."""
    waited_ps: tuple[Count, ...]
    """Waiting picoseconds by unit and reason."""
    dram_bytes: int


def store_run(simulated: SimulatedRun) -> StoredRun:
    """Return the JSON form of a simulated run."""
    times = simulated.unit_times
    return StoredRun(
        **_totals(simulated).model_dump(),
        head=_totals(simulated.head) if simulated.head else None,
        worked_ps=tuple(sorted(times.worked_ps.items())),
        waited_ps=tuple((*key, ps) for key, ps in sorted(times.waited_ps.items())),
        dram_bytes=simulated.dram_bytes,
    )


def restore_run(run: StoredRun, arch: ArchSpec, technology: TechnologySpec) -> SimulatedRun:
    """Return the simulated run of a JSON form, with its energy and area computed again."""
    whole = _cost(run, arch, technology)
    return SimulatedRun(
        **vars(whole),
        head=_cost(run.head, arch, technology) if run.head else None,
        unit_times=UnitTimes(Counter(dict(run.worked_ps)), Counter({(u, r): ps for u, r, ps in run.waited_ps})),
        dram_bytes=run.dram_bytes,
        areas_mm2=area_mm2(arch, technology),
    )


def _totals(costed: CostedRun) -> StoredTotals:
    counts = tuple((*key, count) for key, count in sorted(costed.counts.items()))
    return StoredTotals(**vars(costed.run), counts=counts)


def _cost(totals: StoredTotals, arch: ArchSpec, technology: TechnologySpec) -> CostedRun:
    counts = Counter({(component, action): count for component, action, count in totals.counts})
    run = RunLength(totals.time_ps, totals.cycles, totals.events)
    return CostedRun(arch, run, counts, energy_rows(counts, run.time_ps, arch, technology))
