"""Dot product unit: evaluates a neuron in c_d cycles, or passes on its memo in c_r."""

from __future__ import annotations

from archsim.config.arch import ArchSpec
from archsim.engine.environment import Engine
from archsim.engine.port import Port
from archsim.engine.probe import Probe
from archsim.sim import waits
from archsim.sim.actions import emit_actions, neuron_evaluation, projected_row
from archsim.sim.machines.epur.units import ProjectionWork, StepWork
from archsim.sim.machines.epur.units.row_fetcher import RowFetcher
from archsim.sim.units.unit import Credits, ProcessGenerator, Unit


class DotProductUnit(Unit):
    """Unit that takes decided neurons in order and delivers products in order, L_d later if evaluated."""

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
        result_credits: Credits,
        probe: Probe,
    ) -> None:
        super().__init__(env, name, arch, probe)
        self.decisions = decisions
        self.run_ahead = run_ahead
        self.fetcher = fetcher
        self.results = results
        self.result_credits = result_credits
        self.steps: Port[StepWork | ProjectionWork] = Port(env)
        self.projected: Port[int] = Port(env)
        """Times at which the unit's part of h is written, where a projection makes it."""
        env.process(self.run())

    def run(self) -> ProcessGenerator:
        """Serve step after step."""
        while True:
            step = yield from self.steps.get()
            if isinstance(step, ProjectionWork):
                yield from self._project(step)
                continue
            yield from self._serve(step)
            emit_actions(self.probe, neuron_evaluation(self.arch, step.segment), step.reused.count(False))
            self.emit_times()

    def _serve(self, step: StepWork) -> ProcessGenerator:
        env, times, label = self.env, step.times, step.segment.label
        run_ahead = self.run_ahead if times.has_memo else None
        memo_hit_ps, evaluate_ps = self.clock.to_ps(times.memo_hit_cycles), self.clock.to_ps(times.dot_cycles)
        pipeline_ps = self.clock.to_ps(times.dot_pipeline_cycles)
        for neuron in range(step.segment.shape.n_units):
            if not self.decisions.has_arrived:
                yield from self.wait_for(self.decisions.arrival(), waits.DECISION)
            reused = self.decisions.take()
            is_streamed = not reused and step.fetches(neuron)
            if is_streamed:
                yield from self._wait_for_weights()
            if not self.result_credits.n_free:
                yield from self.wait_for(self.result_credits.next_return(), waits.RESULT_SLOT)
            self.result_credits.take()
            if run_ahead is not None:
                run_ahead.give()
            if reused:
                self.count_work(memo_hit_ps, "reuse {}, {}", neuron, label)
                yield env.timeout(memo_hit_ps)
                self.results.send(neuron)
            else:
                self.count_work(evaluate_ps, "evaluate {}, {}", neuron, label)
                could_end_ps = env.now_ps + evaluate_ps
                yield from self.fetcher.read(times.dot_cycles)
                self.count_wait(waits.BANK, could_end_ps)
                self.results.send(neuron, pipeline_ps)
            if is_streamed:
                self.fetcher.slots.give()

    def _project(self, work: ProjectionWork) -> ProcessGenerator:
        """Compute rows of the projection one after the other; all of them are on chip."""
        busy_ps = self.clock.to_ps(work.n_rows * work.row_cycles)
        self.count_work(busy_ps, "project {} rows, {}", work.n_rows, work.segment.label)
        yield self.env.timeout(busy_ps)
        emit_actions(self.probe, projected_row(self.arch, work.segment), work.n_rows)
        self.emit_times()
        self.projected.send(
            work.n_rows, self.clock.to_ps(self.arch.dpu.pipeline_cycles + self.arch.mu.writeback_cycles)
        )

    def _wait_for_weights(self) -> ProcessGenerator:
        decided_ps = self.env.now_ps
        yield (yield from self.fetcher.arrivals.get())
        self.count_wait(waits.WEIGHTS, decided_ps)
