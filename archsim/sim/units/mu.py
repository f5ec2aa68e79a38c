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
    tails: amounts that are added to each gate's results; empty without a tail.
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
        tails: Sequence[Port[int]] = (),
    ) -> None:
        super().__init__(env, MU, arch, probe)
        self.results = results
        self.result_credits = result_credits
        self.tails = tails
        self.cells = cells
        self.steps: Port[UpdateWork] = Port(env)
        self.step_ends: Port[int] = Port(env)
        self.reset_ends: Port[int] = Port(env)
        """Times at which the last r ⊙ h of a step is written, where reset comes before the product."""
        env.process(self.run())

    def run(self) -> ProcessGenerator:
        """Serve step after step."""
        while True:
            step = yield from self.steps.get()
            segment, times, n_gates = step.segment, step.times, step.segment.shape.n_gates
            end_cycles = times.update_pipeline_cycles + times.writeback_cycles
            may_start_ps = self.env.now_ps
            if segment.resets_before:  # r ⊙ h first, which the last gate waits for
                may_start_ps = yield from self._update(step, slice(0, 1), "reset", may_start_ps)
                self.reset_ends.send(self.env.now_ps, self.clock.to_ps(end_cycles))
            gates = slice(segment.update_groups - 1, n_gates)
            yield from self._update(step, gates, "update", may_start_ps)
            if segment.updates_cells:
                emit_actions(self.probe, cell_update(self.arch, self.cells[segment.shape.layer]), segment.shape.n_units)
            self.emit_times()
            yield self.cycles(end_cycles)
            self.step_ends.send(self.env.now_ps)

    def _update(self, step: UpdateWork, gates: slice, what: str, may_start_ps: int) -> ProcessGenerator:
        """Update all hidden units from the results of `gates`; return when a further update may start."""
        segment, results, credits = step.segment, self.results[gates], self.result_credits[gates]
        tails = self.tails[gates]
        interval_ps = self.clock.to_ps(step.times.update_interval_cycles)
        template = what + " {}, {}"
        for neuron in range(segment.shape.n_units):
            for result in results:  # m_n is at least every r_{k,n}
                if not result.has_arrived:
                    yield result.arrival()
                result.take()
            if self.env.now_ps < may_start_ps:  # and at least m_{n-1} + II_m
                yield self.env.timeout(may_start_ps - self.env.now_ps)
            self.count_wait(waits.PRODUCTS, may_start_ps)
            with_products_ps = self.env.now_ps
            for tail in tails:
                if not tail.has_arrived:
                    yield tail.arrival()
                tail.take()
            self.count_wait(waits.TAIL, with_products_ps)
            may_start_ps = self.env.now_ps + interval_ps
            for queue in credits:
                queue.give()
            if segment.updates_cells:
                self.count_work(interval_ps, template, neuron, segment.label)
        return may_start_ps
