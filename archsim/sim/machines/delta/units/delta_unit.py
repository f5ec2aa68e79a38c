"""Delta unit: scans the inputs of a step and passes on the columns of those that enter its products."""

from __future__ import annotations

import numpy as np

from archsim.config.arch import ArchSpec
from archsim.config.delta_unit import DeltaSpec
from archsim.engine.environment import Engine
from archsim.engine.port import Port
from archsim.engine.probe import Probe
from archsim.sim import waits
from archsim.sim.actions import emit_actions
from archsim.sim.machines.delta.costs import scan
from archsim.sim.machines.delta.units import ColumnStepWork
from archsim.sim.units.unit import Credits, ProcessGenerator, Unit

DELTA_UNIT = "delta"
"""Label of a delta unit."""


class DeltaUnit(Unit):
    """Unit that scans one group of elements per cycle while its queue has slots; columns are known L cycles later.

    The columns of a step are sent in order, and None after the last one. They go to the dot product unit, and to the
    column fetcher if weights stream. A tail unit gets None after the last one, too, because the codes of all elements
    are known then.
    """

    def __init__(
        self,
        env: Engine,
        name: str,
        arch: ArchSpec,
        delta: DeltaSpec,
        *,
        columns: Port[int | None],
        fetched: Port[int | None],
        codes: Port[None],
        probe: Probe,
    ) -> None:
        super().__init__(env, name, arch, probe)
        self.delta = delta
        self.columns = columns
        self.fetched = fetched
        self.codes = codes
        self.slots = Credits(env, delta.queue_places, f"{name} columns ahead", probe)
        self.steps: Port[ColumnStepWork] = Port(env)
        env.process(self.run())

    def run(self) -> ProcessGenerator:
        """Serve step after step."""
        known_ps = self.clock.to_ps(self.delta.latency_cycles)
        while True:
            step = yield from self.steps.get()
            label = step.segment.label
            receivers = [self.columns, self.fetched] if step.streamed else [self.columns]
            for first in range(0, step.entering.size, self.delta.width):
                if first:
                    yield self.cycles(1)
                self.count_work(self.clock.period_ps, "scan from {}, {}", first, label)
                for element in first + np.flatnonzero(step.entering[first : first + self.delta.width]):
                    if not self.slots.n_free:
                        yield from self.wait_for(self.slots.next_return(), waits.COLUMN_SLOT)
                    self.slots.take()
                    for port in receivers:
                        port.send(int(element), known_ps)
            for port in receivers:
                port.send(None, known_ps)
            if self.delta.tail_bits:
                self.codes.send(None, known_ps)
            emit_actions(self.probe, scan(self.arch, self.delta, step.entering[np.newaxis]))
            self.emit_times()
