"""The fuzzy memoization unit: predicts, for one neuron after the other, whether its memo will do."""

from __future__ import annotations

from archsim.config.savers import FmuSpec
from archsim.config.specs import ArchSpec
from archsim.engine.environment import Engine
from archsim.engine.port import Port
from archsim.engine.probe import Probe
from archsim.sim.actions import emit_actions, prediction
from archsim.sim.step_times import step_times
from archsim.sim.units.wires import Credits, Process, Unit
from archsim.sim.work import Decision, StepWork


class FuzzyMemoUnit(Unit):
    """Issues a neuron every c_f cycles, at most Q ahead of the dot product unit; a decision takes L_f."""

    def __init__(
        self,
        env: Engine,
        name: str,
        arch: ArchSpec,
        fmu: FmuSpec,
        *,
        decisions: Port[Decision],
        rows: Port[Decision],
        probe: Probe,
    ) -> None:
        super().__init__(env, name, arch, probe)
        self.decisions, self.rows = decisions, rows
        self.run_ahead = Credits(env, fmu.run_ahead, f"{name} decisions ahead", probe)
        self.steps: Port[StepWork] = Port(env)
        env.process(self.run())

    def run(self) -> Process:
        """Serve step after step."""
        while True:
            step: StepWork = yield self.steps.get()
            times = step_times(self.arch, step.part)
            if not times.has_memo:
                _evaluate_all(step, self.decisions, self.rows)
                continue
            decision_ps = self.arch.clock.to_ps(times.decision_cycles)
            for neuron, reused in enumerate(step.reused.tolist()):
                if neuron:
                    yield self.cycles(times.issue_cycles)
                may_issue_ps = self.env.now_ps
                yield from self.run_ahead.take()
                self.emit_wait("a place among the decisions", may_issue_ps)
                _send(Decision(neuron, reused), step, self.decisions, self.rows, decision_ps)
                emit_actions(self.probe, prediction(self.arch, step.part.shape))
                self.emit_work(f"predict {neuron}, {step.part.label}", times.issue_cycles)


class EvaluateAll(Unit):
    """What stands in the memoization unit's place on the baseline machine: every neuron, at once."""

    run_ahead: Credits | None = None

    def __init__(
        self, env: Engine, arch: ArchSpec, *, decisions: Port[Decision], rows: Port[Decision], probe: Probe
    ) -> None:
        super().__init__(env, "none", arch, probe)
        self.decisions, self.rows = decisions, rows
        self.steps: Port[StepWork] = Port(env)
        env.process(self.run())

    def run(self) -> Process:
        """Serve step after step."""
        while True:
            step: StepWork = yield self.steps.get()
            _evaluate_all(step, self.decisions, self.rows)


def _evaluate_all(step: StepWork, decisions: Port[Decision], rows: Port[Decision]) -> None:
    for neuron in range(step.part.shape.n_units):
        _send(Decision(neuron, reused=False), step, decisions, rows)


def _send(
    decision: Decision, step: StepWork, decisions: Port[Decision], rows: Port[Decision], delay_ps: int = 0
) -> None:
    """Tell the dot product unit, and whoever has to fetch the neuron's weights."""
    decisions.send(decision, delay_ps)
    if step.streamed:
        rows.send(decision, delay_ps)
