"""What a machine did, as JSON holds it: everything behind time and energy but the ends of single steps."""

from __future__ import annotations

from collections import Counter

from archsim.config.arch import ArchSpec
from archsim.config.technology import TechnologySpec
from archsim.energy.ledger import energy_rows
from archsim.energy.parts import area_mm2
from archsim.experiment.simulated_run import CostedRun, SimulatedRun
from archsim.sim.items import Run
from archsim.sim.listeners.counters import UnitTimes
from archsim.validation import FrozenRecord

Count = tuple[str, str, int]
"""Who, what, and how often or how long."""


class StoredTotals(FrozenRecord):
    """Time and counted actions."""

    time_ps: int
    cycles: int
    events: int
    counts: tuple[Count, ...]
    """By component and action."""


class StoredRun(StoredTotals):
    """A whole run."""

    head: StoredTotals | None
    worked_ps: tuple[tuple[str, int], ...]
    """By unit."""
    waited_ps: tuple[Count, ...]
    """By unit and reason."""
    dram_bytes: int


def stored(simulated: SimulatedRun) -> StoredRun:
    """Take down what a machine did."""
    times = simulated.unit_times
    return StoredRun(
        **_part(simulated).model_dump(),
        head=_part(simulated.head) if simulated.head else None,
        worked_ps=tuple(sorted(times.worked_ps.items())),
        waited_ps=tuple((*who, ps) for who, ps in sorted(times.waited_ps.items())),
        dram_bytes=simulated.dram_bytes,
    )


def restored(run: StoredRun, arch: ArchSpec, technology: TechnologySpec) -> SimulatedRun:
    """Weigh anew what was taken down."""
    whole = _costed(run, arch, technology)
    return SimulatedRun(
        **vars(whole),
        head=_costed(run.head, arch, technology) if run.head else None,
        unit_times=UnitTimes(Counter(dict(run.worked_ps)), Counter({(u, r): ps for u, r, ps in run.waited_ps})),
        dram_bytes=run.dram_bytes,
        areas_mm2=area_mm2(arch, technology),
    )


def _part(costed: CostedRun) -> StoredTotals:
    counts = tuple((*what, count) for what, count in sorted(costed.counts.items()))
    return StoredTotals(**vars(costed.run), counts=counts)


def _costed(part: StoredTotals, arch: ArchSpec, technology: TechnologySpec) -> CostedRun:
    counts = Counter({(component, action): count for component, action, count in part.counts})
    run = Run(part.time_ps, part.cycles, part.events)
    return CostedRun(arch, run, counts, energy_rows(counts, run.time_ps, arch, technology))
