"""The event simulation of one machine with its listeners attached: time, energy, area."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from archsim.config.specs import ArchSpec
from archsim.config.technology import TechnologySpec
from archsim.energy.ledger import EnergyRow, energy_rows
from archsim.energy.parts import area_mm2
from archsim.ir.network import Network
from archsim.metrics.recorders import ActionCounts, BusyTime, PassProgress, StepEnds
from archsim.sim.accelerator import Detail, Run, simulate_activity
from archsim.traceio.activity import ActivityRecord


@dataclass(frozen=True, eq=False)
class Timed:
    """What a machine did with an activity record."""

    run: Run
    energy: list[EnergyRow]
    step_ends: StepEnds
    dram_bytes: int
    areas_mm2: dict[str, float]

    @property
    def energy_j(self) -> float:
        """All of it."""
        return sum(row.joules for row in self.energy)

    def bucket_j(self, bucket: str) -> float:
        """One part of the paper's breakdown."""
        return sum(row.joules for row in self.energy if row.bucket == bucket)


def time_and_weigh(
    network: Network,
    activity: ActivityRecord,
    arch: ArchSpec,
    technology: TechnologySpec,
    detail: Detail,
    tick: Callable[[int], None],
) -> Timed:
    """Replay an activity record on `arch`; `tick` hears of each finished sequence."""
    actions, busy, ends = ActionCounts(), BusyTime(), StepEnds()
    last = activity.shapes[-1]
    progress = PassProgress((last.layer, last.direction), tick)
    run = simulate_activity(network, activity, arch, detail=detail, listeners=[actions, busy, ends, progress])
    return Timed(
        run=run,
        energy=energy_rows(actions.counts, busy.busy_ps["DRAM"], run.time_ps, arch, technology),
        step_ends=ends,
        dram_bytes=actions.counts["dram", "read_byte"] + actions.counts["dram", "write_byte"],
        areas_mm2=area_mm2(arch, technology),
    )
