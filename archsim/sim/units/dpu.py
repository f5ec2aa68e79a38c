"""The dot product unit: evaluates a neuron in c_d cycles, or passes on its memo in c_r."""

from __future__ import annotations

from archsim.config.specs import ArchSpec
from archsim.engine.environment import Engine
from archsim.engine.port import Port
from archsim.engine.probe import Probe
from archsim.sim.actions import emit_actions, evaluation
from archsim.sim.step_times import step_times
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
        results: Port[int],
        result_lag: Credits,
        probe: Probe,
    ) -> None:
        super().__init__(env, name, arch, probe)
        self.decisions, self.run_ahead = decisions, run_ahead
        self.results, self.result_lag = results, result_lag
        self.steps: Port[StepWork] = Port(env)
        env.process(self.run())

    def run(self) -> Process:
        """Serve step after step."""
        while True:
            step: StepWork = yield self.steps.get()
            times = step_times(self.arch, step.shape)
            pipeline_ps = self.arch.clock.to_ps(times.dot_pipeline_cycles)
            for _ in range(step.shape.n_units):
                decision: Decision = yield self.decisions.get()
                yield self.result_lag.take()
                if self.run_ahead is not None:
                    self.run_ahead.give()
                busy_cycles = times.pass_on_cycles if decision.reused else times.dot_cycles
                self.emit_busy(f"{'reuse' if decision.reused else 'evaluate'} {decision.neuron}", busy_cycles)
                yield self.cycles(busy_cycles)
                self.results.send(decision.neuron, 0 if decision.reused else pipeline_ps)
                if not decision.reused:
                    emit_actions(self.probe, evaluation(self.arch, step.shape))
