"""The weight buffers of all computation units, filled group by group (SEMANTICS 2.3).

The units hold the same number of bytes of each pass, one gate each, so they are kept as one ledger.
"""

from __future__ import annotations

from collections.abc import Sequence

import simpy

from archsim.config.specs import ArchSpec
from archsim.engine.environment import Engine
from archsim.engine.probe import Probe
from archsim.sim.actions import emit_actions, weight_bytes, weight_fill
from archsim.sim.memory.dram import MainMemory
from archsim.sim.units.wires import Process
from archsim.sim.work import ResidentGroup


class WeightBuffers:
    """Which groups' weights are on chip, and the transfers that bring in the others."""

    def __init__(
        self, env: Engine, arch: ArchSpec, groups: Sequence[ResidentGroup], *, dram: MainMemory, probe: Probe
    ) -> None:
        self.env, self.arch, self.groups, self.dram, self.probe = env, arch, groups, dram, probe
        self.capacity_bytes = arch.weight_buffer.capacity_bytes
        self.fill_slot = simpy.Resource(env)
        self.held: dict[int, simpy.Event] = {}
        """Groups on chip or on their way, and the event of their arrival."""
        self.addresses = [0]
        for group in groups:
            self.addresses.append(self.addresses[-1] + _all_units_bytes(group))

    def acquire(self, position: int) -> simpy.Event:
        """An event that fires when the weights of group `position` are on chip; others may have to leave."""
        if position not in self.held:
            self._make_room(position, keep={position})
            self._fetch(position)
        return self.held[position]

    def prefetch(self, running: int) -> None:
        """Fetch the group after `running` while it runs, if both fit together."""
        following = (running + 1) % len(self.groups)
        if following in self.held or self._bytes_of({running, following}) > self.capacity_bytes:
            return
        self._make_room(following, keep={running, following})
        self._fetch(following)

    def _make_room(self, position: int, keep: set[int]) -> None:
        # Groups come round in a fixed order: the one whose turn is furthest off leaves first.
        by_turn = sorted(self.held, key=lambda other: (other - position) % len(self.groups), reverse=True)
        for other in by_turn:
            if self._bytes_of({*self.held, position}) <= self.capacity_bytes:
                return
            if other not in keep:
                del self.held[other]

    def _bytes_of(self, positions: set[int]) -> int:
        return sum(group_bytes(self.groups[p]) for p in positions)

    def _fetch(self, position: int) -> None:
        self.held[position] = self.env.process(self._fill(position))

    def _fill(self, position: int) -> Process:
        group = self.groups[position]
        with self.fill_slot.request() as turn:
            yield turn
            layers = ", ".join(f"{shape.layer}{'r' if shape.direction else ''}" for shape in group)
            what = f"weights of layer {layers}"
            yield self.dram.transfer(self.addresses[position], _all_units_bytes(group), what=what)
            for shape in group:
                emit_actions(self.probe, weight_fill(self.arch, weight_bytes(shape)), shape.n_gates)


def group_bytes(group: ResidentGroup) -> int:
    """What a group's weights take in one computation unit."""
    return sum(weight_bytes(shape) for shape in group)


def _all_units_bytes(group: ResidentGroup) -> int:
    return sum(weight_bytes(shape) * shape.n_gates for shape in group)
