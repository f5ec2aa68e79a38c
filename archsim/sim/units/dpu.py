"""The dot product unit: evaluates a neuron in c_d cycles, or passes on its memo in c_r."""

from __future__ import annotations

from archsim.config.specs import ArchSpec
from archsim.engine.environment import Engine
from archsim.engine.port import Port
from archsim.engine.probe import Probe
from archsim.sim.actions import emit_actions, evaluation
from archsim.sim.units.rows import RowFetcher
from archsim.sim.units.wires import Credits, Process, Unit
from archsim.sim.work import StepWork


class DotProductUnit(Unit):
    """Takes decided neurons in order and delivers their products in order, L_d later if evaluated."""

    def __init__(
        self,
        env: Engine,
        name: str,
        arch: ArchSpec,
        *,
        decisions: Port[bool],
        run_ahead: Credits | None,
        fetcher: RowFetcher,
        results: Port[int],
        result_lag: Credits,
        probe: Probe,
    ) -> None:
        super().__init__(env, name, arch, probe)
        self.decisions, self.run_ahead, self.fetcher = decisions, run_ahead, fetcher
        self.results, self.result_lag = results, result_lag
        self.steps: Port[StepWork] = Port(env)
        env.process(self.run())

    def run(self) -> Process:
        """Serve step after step."""
        while True:
            step = yield from self.steps.get()
            for neuron in range(step.part.shape.n_units):
                yield from self._serve(neuron, step)
            emit_actions(self.probe, evaluation(self.arch, step.part.columns), step.reused.count(False))
            self.emit_times()

    def _serve(self, neuron: int, step: StepWork) -> Process:
        free_ps = self.env.now_ps
        reused = yield from self.decisions.get()
        self.count_wait("a decision", free_ps)
        is_streamed = not reused and step.fetches(neuron)
        if is_streamed:
            yield from self._wait_for_weights()
        if not self.result_lag.free:
            yield from self._wait_for_place()
        self.result_lag.take()
        if self.run_ahead is not None and step.times.has_memo:
            self.run_ahead.give()
        if reused:
            yield from self._pass_on(neuron, step)
        else:
            yield from self._evaluate(neuron, step)
        if is_streamed:
            self.fetcher.places.give()

    def _wait_for_weights(self) -> Process:
        decided_ps = self.env.now_ps
        arrival = yield from self.fetcher.rows.get()
        yield arrival
        self.count_wait("weights", decided_ps)

    def _wait_for_place(self) -> Process:
        ready_ps = self.env.now_ps
        yield self.result_lag.returned()
        self.count_wait("a place among the results", ready_ps)

    def _pass_on(self, neuron: int, step: StepWork) -> Process:
        self.count_work(step.times.pass_on_cycles, "reuse {}, {}", neuron, step.part)
        yield self.cycles(step.times.pass_on_cycles)
        self.results.send(neuron)

    def _evaluate(self, neuron: int, step: StepWork) -> Process:
        times, start_ps = step.times, self.env.now_ps
        self.count_work(times.dot_cycles, "evaluate {}, {}", neuron, step.part)
        yield from self.fetcher.read(times.dot_cycles)
        self.count_wait("a bank", start_ps + self.clock.to_ps(times.dot_cycles))
        self.results.send(neuron, self.clock.to_ps(times.dot_pipeline_cycles))
