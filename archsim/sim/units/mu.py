"""Multi-functional unit: updates a hidden unit's cell once the products of all its gates have arrived.

Its times must equal those of `archsim/kernels/pipeline/recurrence.py` and `columns.py` (SEMANTICS 2.2).
"""

from __future__ import annotations

from collections.abc import Sequence

from archsim.config.arch import ArchSpec
from archsim.engine.environment import Engine
from archsim.engine.port import Port
from archsim.engine.probe import Probe
from archsim.ir.cells import Cell
from archsim.sim import waits
from archsim.sim.actions import cell_update, emit_actions
from archsim.sim.items import UpdateWork
from archsim.sim.units.unit import MU, Credits, ProcessGenerator, Unit


class MultiFunctionalUnit(Unit):
    """Unit that starts a cell update every II_m cycles at most; a step ends L_m + L_w after its last update began.

    result_credits: credits of each gate's result queue; empty where results wait in accumulators.
    """

    def __init__(
        self,
        env: Engine,
        arch: ArchSpec,
        *,
        results: Sequence[Port[int]],
        result_credits: Sequence[Credits],
        cells: Sequence[Cell],
        probe: Probe,
    ) -> None:
        super().__init__(env, MU, arch, probe)
        self.results = results
        self.result_credits = result_credits
        self.cells = cells
        self.steps: Port[UpdateWork] = Port(env)
        self.step_ends: Port[int] = Port(env)
        env.process(self.run())

    def run(self) -> ProcessGenerator:
        """Serve step after step."""
        while True:
            step = yield from self.steps.get()
            segment, times = step.segment, step.times
            gates, credits = self.results[: segment.shape.n_gates], self.result_credits[: segment.shape.n_gates]
            interval_ps, label = self.clock.to_ps(times.update_interval_cycles), segment.label
            may_start_ps = self.env.now_ps
            for neuron in range(segment.shape.n_units):
                for results in gates:  # m_n is at least every r_{k,n}
                    if not results.has_arrived:
                        yield results.arrival()
                    results.take()
                if self.env.now_ps < may_start_ps:  # and at least m_{n-1} + II_m
                    yield self.env.timeout(may_start_ps - self.env.now_ps)
                self.count_wait(waits.PRODUCTS, may_start_ps)
                may_start_ps = self.env.now_ps + interval_ps
                for queue in credits:
                    queue.give()
                if segment.updates_cells:
                    self.count_work(interval_ps, "update {}, {}", neuron, label)
            if segment.updates_cells:
                emit_actions(self.probe, cell_update(self.cells[segment.shape.layer]), segment.shape.n_units)
            self.emit_times()
            yield self.cycles(times.update_pipeline_cycles + times.writeback_cycles)
            self.step_ends.send(self.env.now_ps)
