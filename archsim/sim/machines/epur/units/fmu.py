"""Fuzzy memoization unit: decides neuron by neuron whether the memo is reused."""

from __future__ import annotations

from archsim.config.arch import ArchSpec
from archsim.config.memo_unit import FmuSpec
from archsim.engine.environment import Engine
from archsim.engine.port import Port
from archsim.engine.probe import Probe
from archsim.sim import waits
from archsim.sim.actions import emit_actions
from archsim.sim.machines.epur.costs import prediction
from archsim.sim.machines.epur.units import StepWork
from archsim.sim.units.unit import Credits, ProcessGenerator, Unit

FMU = "FMU"
"""Label of a memoization unit."""


class FuzzyMemoUnit(Unit):
    """Unit that issues a neuron every c_f cycles, at most Q ahead of the dot product unit; a decision takes L_f."""

    def __init__(
        self,
        env: Engine,
        name: str,
        arch: ArchSpec,
        fmu: FmuSpec,
        *,
        decisions: Port[bool],
        rows: Port[bool],
        probe: Probe,
    ) -> None:
        super().__init__(env, name, arch, probe)
        self.decisions = decisions
        self.rows = rows
        self.run_ahead = Credits(env, fmu.run_ahead, f"{name} decisions ahead", probe)
        self.steps: Port[StepWork] = Port(env)
        env.process(self.run())

    def run(self) -> ProcessGenerator:
        """Serve step after step."""
        while True:
            step = yield from self.steps.get()
            receivers = _receivers(step, self.decisions, self.rows)
            if step.times.has_memo:
                yield from self._predict(step, receivers)
            else:
                _evaluate_all(step, receivers)

    def _predict(self, step: StepWork, receivers: list[Port[bool]]) -> ProcessGenerator:
        env, times, label = self.env, step.times, step.segment.label
        issue_ps, decision_ps = self.clock.to_ps(times.issue_cycles), self.clock.to_ps(times.decision_cycles)
        may_issue_ps = env.now_ps
        for neuron, reused in enumerate(step.reused):
            # u_n = max(u_{n-1} + c_f, a_{n-Q}): both run at once, so the credit may come while the interval passes.
            if not self.run_ahead.n_free:
                yield self.run_ahead.next_return()
            if env.now_ps < may_issue_ps:
                yield env.timeout(may_issue_ps - env.now_ps)
            self.count_wait(waits.DECISION_SLOT, may_issue_ps)
            self.run_ahead.take()
            self.count_work(issue_ps, "predict {}, {}", neuron, label)
            for port in receivers:  # f_n
                port.send(reused, decision_ps)
            may_issue_ps = env.now_ps + issue_ps
        emit_actions(self.probe, prediction(self.arch, step.segment.shape), step.segment.shape.n_units)
        self.emit_times()


class EvaluateAll(Unit):
    """Stand-in for the memoization unit on the baseline machine: decides at once to evaluate every neuron."""

    run_ahead: Credits | None = None

    def __init__(self, env: Engine, arch: ArchSpec, *, decisions: Port[bool], rows: Port[bool], probe: Probe) -> None:
        super().__init__(env, "none", arch, probe)
        self.decisions = decisions
        self.rows = rows
        self.steps: Port[StepWork] = Port(env)
        env.process(self.run())

    def run(self) -> ProcessGenerator:
        """Serve step after step."""
        while True:
            step = yield from self.steps.get()
            _evaluate_all(step, _receivers(step, self.decisions, self.rows))


def _receivers(step: StepWork, decisions: Port[bool], rows: Port[bool]) -> list[Port[bool]]:
    """Return the ports that decisions go to: the dot product unit's, and the row fetcher's if weights stream."""
    return [decisions, rows] if step.streamed else [decisions]


def _evaluate_all(step: StepWork, receivers: list[Port[bool]]) -> None:
    for reused in step.reused:
        for port in receivers:
            port.send(reused)
