"""Dot product unit for columns: adds a column of weights, times its input's change, to the sums of all neurons."""

from __future__ import annotations

from archsim.config.arch import ArchSpec
from archsim.config.delta_unit import DeltaSpec
from archsim.engine.environment import Engine
from archsim.engine.port import Port
from archsim.engine.probe import Probe
from archsim.sim import waits
from archsim.sim.actions import emit_actions
from archsim.sim.machines.delta.costs import column
from archsim.sim.machines.delta.units import ColumnStepWork
from archsim.sim.machines.delta.units.column_fetcher import ColumnFetcher
from archsim.sim.units.unit import Credits, ProcessGenerator, Unit


class ColumnDotProductUnit(Unit):
    """Unit that takes columns in order, c_h cycles each; all sums of a step are ready L_d after its last column."""

    def __init__(
        self,
        env: Engine,
        name: str,
        arch: ArchSpec,
        delta: DeltaSpec,
        *,
        columns: Port[int | None],
        slots: Credits,
        fetcher: ColumnFetcher,
        results: Port[int],
        probe: Probe,
    ) -> None:
        super().__init__(env, name, arch, probe)
        self.delta = delta
        self.columns = columns
        self.slots = slots
        self.fetcher = fetcher
        self.results = results
        self.steps: Port[ColumnStepWork] = Port(env)
        env.process(self.run())

    def run(self) -> ProcessGenerator:
        """Serve step after step."""
        while True:
            step = yield from self.steps.get()
            segment, times, n_columns = step.segment, step.times, 0
            column_ps, label = self.clock.to_ps(times.column_cycles), segment.label
            free_ps = ready_ps = self.env.now_ps
            while (element := (yield from self.columns.get())) is not None:
                self.count_wait(waits.COLUMN, free_ps)
                is_streamed = step.fetches(element)
                if is_streamed:
                    yield from self._wait_for_weights()
                self.slots.give()
                self.count_work(column_ps, "column {}, {}", element, label)
                yield self.env.timeout(column_ps)
                if is_streamed:
                    self.fetcher.slots.give()
                n_columns += 1
                free_ps = self.env.now_ps
                ready_ps = free_ps + self.clock.to_ps(times.dot_pipeline_cycles)
            self.count_wait(waits.COLUMN, free_ps)
            emit_actions(self.probe, column(self.arch, self.delta, segment.shape.n_units), n_columns)
            self.emit_times()
            # Every column changes every sum, so none is ready before the last column, and all are sent at the end.
            for neuron in range(segment.shape.n_units):
                self.results.send(neuron, max(0, ready_ps - self.env.now_ps))

    def _wait_for_weights(self) -> ProcessGenerator:
        known_ps = self.env.now_ps
        yield (yield from self.fetcher.arrivals.get())
        self.count_wait(waits.WEIGHTS, known_ps)
