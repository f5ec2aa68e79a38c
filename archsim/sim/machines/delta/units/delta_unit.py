"""The delta unit: scans the inputs of a step, and hands on the columns of those that enter its products."""

from __future__ import annotations

import numpy as np

from archsim.config.arch import ArchSpec
from archsim.config.delta_unit import DeltaSpec
from archsim.engine.environment import Engine
from archsim.engine.port import Port
from archsim.engine.probe import Probe
from archsim.sim.actions import emit_actions
from archsim.sim.machines.delta.actions import scan
from archsim.sim.machines.delta.steps import ColumnStepWork
from archsim.sim.units.unit import Credits, Process, Unit

DELTA_UNIT = "delta"
"""Label of a delta unit."""


class DeltaUnit(Unit):
    """Scans a group of elements a cycle while there are places for their columns; what it finds is known L later.

    A step's columns go out in order; None says that no more will come.
    """

    def __init__(
        self, env: Engine, name: str, arch: ArchSpec, delta: DeltaSpec, *, columns: Port[int | None], probe: Probe
    ) -> None:
        super().__init__(env, name, arch, probe)
        self.delta, self.columns = delta, columns
        self.places = Credits(env, delta.queue_places, f"{name} columns ahead", probe)
        self.steps: Port[ColumnStepWork] = Port(env)
        env.process(self.run())

    def run(self) -> Process:
        """Serve step after step."""
        known_ps = self.clock.to_ps(self.delta.latency_cycles)
        while True:
            step = yield from self.steps.get()
            label = step.segment.label
            for first in range(0, step.entering.size, self.delta.width):
                if first:
                    yield self.cycles(1)
                self.count_work(self.clock.period_ps, "scan from {}, {}", first, label)
                for element in first + np.flatnonzero(step.entering[first : first + self.delta.width]):
                    if not self.places.free:
                        yield from self.wait_for(self.places.returned(), "a place among the columns")
                    self.places.take()
                    self.columns.send(int(element), known_ps)
            self.columns.send(None, known_ps)
            emit_actions(self.probe, scan(self.arch, self.delta, step.entering[np.newaxis]))
            self.emit_times()
