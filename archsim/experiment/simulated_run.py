"""Event simulation of one machine with its listeners attached: time, energy, area."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from archsim.activity import ActivityRecord
from archsim.config.arch import ArchSpec
from archsim.config.technology import TechnologySpec
from archsim.energy.ledger import EnergyRow, energy_rows
from archsim.energy.parts import area_mm2
from archsim.inference.run import InferenceResult
from archsim.ir.network import Network
from archsim.sim.accelerator import simulate_activity
from archsim.sim.head import simulate_head
from archsim.sim.items import RunLength
from archsim.sim.listeners.counters import ActionCounts, BytesMoved, PassProgress, UnitTimes
from archsim.sim.machines import Detail, machine_of


@dataclass(frozen=True, eq=False)
class CostedRun:
    """Time, counted actions and energy of the recurrent layers, or of the head, on one machine."""

    arch: ArchSpec
    run: RunLength
    counts: Mapping[tuple[str, str], int]
    """Counts by component and action."""
    energy: list[EnergyRow]

    @property
    def energy_j(self) -> float:
        """Total energy in joules."""
        return math.fsum(row.joules for row in self.energy)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the network that were done."""
        return self.count(*machine_of(self.arch).mac_action)

    def count(self, component: str, action: str) -> int:
        """Return the number of times that a component did an action."""
        return self.counts.get((component, action), 0)

    def bucket_j(self, bucket: str) -> float:
        """Return the joules of one bucket of the paper's energy breakdown."""
        return math.fsum(row.joules for row in self.energy if row.bucket == bucket)


@dataclass(frozen=True, eq=False)
class SimulatedRun(CostedRun):
    """Run of a machine on an activity record."""

    head: CostedRun | None
    """Run of the head by itself; None for a network without a head."""
    unit_times: UnitTimes
    dram_bytes: int
    areas_mm2: dict[str, float]


@dataclass(frozen=True, eq=False)
class Baseline:
    """Run without reuse that a policy is compared with."""

    digest: str
    """Digest of everything that determines the baseline."""
    inference: InferenceResult
    simulated: SimulatedRun


def simulate_and_cost(
    network: Network,
    activity: ActivityRecord,
    arch: ArchSpec,
    technology: TechnologySpec,
    detail: Detail,
    on_sequences: Callable[[int], None],
) -> SimulatedRun:
    """Replay an activity record on `arch`; `on_sequences` is called with the number of sequences just finished."""
    actions, moved, use = ActionCounts(), BytesMoved(), UnitTimes()
    progress = PassProgress(activity.shapes[-1].pass_key, on_sequences)
    run = simulate_activity(network, activity, arch, detail=detail, listeners=[actions, moved, use, progress])
    return SimulatedRun(
        arch=arch,
        run=run,
        counts=actions.counts,
        energy=energy_rows(actions.counts, run.time_ps, arch, technology),
        head=_cost_head(network, activity, arch, technology) if network.head else None,
        unit_times=use,
        dram_bytes=moved.n_bytes,
        areas_mm2=area_mm2(arch, technology),
    )


def _cost_head(network: Network, activity: ActivityRecord, arch: ArchSpec, technology: TechnologySpec) -> CostedRun:
    actions = ActionCounts()
    run = simulate_head(network, activity, arch, [actions])
    return CostedRun(arch, run, actions.counts, energy_rows(actions.counts, run.time_ps, arch, technology))
