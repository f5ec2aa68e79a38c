"""The dot product unit: evaluates a neuron in c_d cycles, or passes on its memo in c_r."""

from __future__ import annotations

import simpy

from archsim.config.specs import ArchSpec
from archsim.engine.environment import Engine
from archsim.engine.port import Port
from archsim.engine.probe import Probe
from archsim.kernels.timing import StepTimes
from archsim.sim.actions import emit_actions, evaluation
from archsim.sim.step_times import step_times
from archsim.sim.units.rows import RowFetcher
from archsim.sim.units.wires import Credits, Process, Unit
from archsim.sim.work import Decision, StepWork


class DotProductUnit(Unit):
    """Takes decided neurons in order and delivers their products in order, L_d later if evaluated."""

    def __init__(
        self,
        env: Engine,
        name: str,
        arch: ArchSpec,
        *,
        decisions: Port[Decision],
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
            step: StepWork = yield self.steps.get()
            times = step_times(self.arch, step.part)
            for _ in range(step.part.shape.n_units):
                free_ps = self.env.now_ps
                decision: Decision = yield self.decisions.get()
                self.emit_wait("a decision", free_ps)
                is_streamed = bool(step.streamed and not (decision.reused or step.streamed.resident[decision.neuron]))
                if is_streamed:
                    decided_ps = self.env.now_ps
                    arrival: simpy.Event = yield self.fetcher.rows.get()
                    yield arrival
                    self.emit_wait("weights", decided_ps)
                ready_ps = self.env.now_ps
                yield from self.result_lag.take()
                self.emit_wait("a place among the results", ready_ps)
                if self.run_ahead is not None and times.has_memo:
                    self.run_ahead.give()
                if decision.reused:
                    yield from self._pass_on(decision, step, times)
                else:
                    yield from self._evaluate(decision, step, times)
                if is_streamed:
                    self.fetcher.places.give()

    def _pass_on(self, decision: Decision, step: StepWork, times: StepTimes) -> Process:
        self.emit_work(f"reuse {decision.neuron}, {step.part.label}", times.pass_on_cycles)
        yield self.cycles(times.pass_on_cycles)
        self.results.send(decision.neuron, 0)

    def _evaluate(self, decision: Decision, step: StepWork, times: StepTimes) -> Process:
        self.emit_work(f"evaluate {decision.neuron}, {step.part.label}", times.dot_cycles)
        start_ps = self.env.now_ps
        yield from self.fetcher.read(times.dot_cycles)
        self.emit_wait("a bank", start_ps + self.arch.clock.to_ps(times.dot_cycles))
        self.results.send(decision.neuron, self.arch.clock.to_ps(times.dot_pipeline_cycles))
        emit_actions(self.probe, evaluation(self.arch, step.part.columns))
