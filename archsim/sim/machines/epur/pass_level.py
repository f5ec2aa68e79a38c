"""Detail `block`, the default: one event per pass, its step times from the recurrence of SEMANTICS 2.2.

A pass that needs main memory while it runs is co-simulated with it, up to the next event of the simulation.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from archsim.config.arch import ArchSpec
from archsim.config.components import Action
from archsim.engine.trace_events import Waited, Worked
from archsim.ir.cells import Cell
from archsim.kernels.arrays import I64, row_lists
from archsim.kernels.pipeline.cosimulation import advance_pass
from archsim.kernels.pipeline.pass_state import PassState, pass_before_start
from archsim.kernels.pipeline.recurrence import (
    EVALUATED,
    FIRST_ISSUE,
    FIRST_TAKEN,
    LAST_DECISION,
    LAST_FREE,
    ON_BANK,
    ON_CREDIT,
    ON_DECISION,
    ON_RESULTS,
    ON_WEIGHTS,
    REMOTE,
    REUSED,
    PassTimes,
    StepTimes,
)
from archsim.kernels.pipeline.resident import time_pass
from archsim.kernels.pipeline.streamed import enter_first_step
from archsim.sim import waits
from archsim.sim.actions import cell_update, emit_actions, neuron_evaluation, port_words, projected_row
from archsim.sim.items import PassSegment, PassWork, StreamedWeights
from archsim.sim.machines.co_simulated_pass import CoSimulatedPass, PassKernel, emit_streamed
from archsim.sim.machines.epur.costs import (
    input_bits,
    pass_actions,
    prediction,
    projection_row_cycles,
    step_actions,
    step_times,
)
from archsim.sim.machines.epur.shared_dispatch.costs import remote_row
from archsim.sim.machines.epur.units.fmu import FMU
from archsim.sim.machines.machine import Compute, Connections
from archsim.sim.units.unit import DPU, MU, ProcessGenerator, emit_span, unit_name

WAITS = (
    (FMU, waits.DECISION_SLOT, ON_CREDIT),
    (DPU, waits.DECISION, ON_DECISION),
    (DPU, waits.WEIGHTS, ON_WEIGHTS),
    (DPU, waits.RESULT_SLOT, ON_RESULTS),
    (DPU, waits.BANK, ON_BANK),
)
"""Unit, reason and kernel tally of each wait."""


class SegmentCosts(NamedTuple):
    """Cycle constants of a segment, and its actions per decision, update, evaluation, remote row and step."""

    times: StepTimes
    port_words: int
    """Words of intermediate memory that a step reads and writes."""
    decision: tuple[Action, ...]
    update: tuple[Action, ...]
    evaluation: tuple[Action, ...]
    projection: tuple[Action, ...]
    """Actions of a row of the projection."""
    remote: tuple[Action, ...]
    step: tuple[Action, ...]


def segment_costs(arch: ArchSpec, segment: PassSegment, cell: Cell) -> SegmentCosts:
    """Return the costs of a segment; where no cells are updated, nothing is decided either."""
    return SegmentCosts(
        times=step_times(arch, segment),
        port_words=port_words(arch, segment, input_bits(arch, segment)),
        decision=tuple(prediction(arch, segment.shape)) if segment.updates_cells else (),
        update=tuple(cell_update(arch, cell)) if segment.updates_cells else (),
        evaluation=tuple(neuron_evaluation(arch, segment)),
        projection=tuple(projected_row(arch, segment)),
        remote=tuple(remote_row(segment)),
        step=tuple(step_actions(arch, segment)),
    )


class EpurPassLevel(Compute):
    """Compute side as one unit that computes when each step of a pass ends."""

    def __init__(self, connections: Connections) -> None:
        super().__init__(connections)
        self.costs: dict[PassSegment, SegmentCosts] = {}

    def run_pass(self, work: PassWork, *, fills: bool) -> ProcessGenerator:
        """Run all steps of a segment; return S_{t+1} of each, in cycles from now.

        fills: whether weights may arrive meanwhile, which delays reads where both share a bank.
        """
        start_ps, costs = self.env.now_ps, self._costs(work.segment)
        if work.streamed or (fills and self.arch.weight_buffer.banks == 1):
            result = yield from self._run_with_memory(work)
        else:
            shape = work.segment.shape
            result = time_pass(
                work.reuse_bits,
                shape.n_gates,
                shape.n_units,
                costs.times,
                shared=self.arch.dispatch == "shared",
                resets_before=work.segment.resets_before,
                spans=self.probe.wants_spans,
            )
            starts = np.concatenate([[0], result.step_ends[:-1]]) + self.arch.clock.to_cycles(start_ps)
            self.port.reserve(starts, costs.port_words)
            yield self.env.timeout(self.arch.clock.to_ps(int(result.step_ends[-1])))
        self._emit(work, costs, result, start_ps)
        return result.step_ends

    def _costs(self, segment: PassSegment) -> SegmentCosts:
        if segment not in self.costs:
            self.costs[segment] = segment_costs(self.arch, segment, self.cells[segment.shape.layer])
        return self.costs[segment]

    def _run_with_memory(self, work: PassWork) -> ProcessGenerator:
        costs = self._costs(work.segment)
        state = self._pass_before_start(work)
        enter_first_step(state, costs.times)
        run = CoSimulatedPass(self, state, PassKernel(advance_pass, costs.times), port_words=costs.port_words)
        result: PassTimes = yield run.ended
        return result

    def _pass_before_start(self, work: PassWork) -> PassState:
        segment, streamed = work.segment, work.streamed
        n_gates, n_units = segment.shape.n_gates, segment.shape.n_units
        # The kernel takes at least one slot, which stays unused without streaming, as does the address 0.
        slots, addresses = (streamed.slots, streamed.addresses) if streamed else (1, (0,) * n_gates)
        return pass_before_start(
            np.ascontiguousarray(work.reuse_bits),
            streamed.resident if streamed else np.ones(n_units, np.bool_),
            np.array(addresses, np.int64),
            self.dram.reserve_transfers(n_gates * slots).reshape(n_gates, slots),
            row_bytes=segment.row_bytes,
            n_transfers=self.dram.memory.transfers.shape[0],
            shares_bank=self.arch.weight_buffer.banks == 1,
            resets_before=segment.resets_before,
            start=self.arch.clock.to_cycles(self.env.now_ps),
            spans=self.probe.wants_spans,
        )

    def _emit(self, work: PassWork, costs: SegmentCosts, result: PassTimes, start_ps: int) -> None:
        shape, tally = work.segment.shape, result.tally.sum(axis=0).tolist()
        emit_actions(self.probe, costs.decision, work.n_steps * shape.neurons_per_step)
        emit_actions(self.probe, costs.update, work.n_steps * shape.n_units)
        emit_actions(self.probe, costs.evaluation, tally[EVALUATED])
        emit_actions(self.probe, costs.projection, work.n_steps * work.segment.n_projected)
        emit_actions(self.probe, costs.remote, tally[REMOTE])
        emit_actions(self.probe, costs.step, work.n_steps)
        emit_actions(self.probe, pass_actions(self.arch, work.segment))
        if work.streamed:
            rows = _rows_fetched(work, work.streamed)
            emit_streamed(self, work, "rows", rows, result.step_ends, start_ps)
        self._emit_times(work, costs.times, result)
        self._emit_spans(work, costs, result, start_ps)

    def _emit_times(self, work: PassWork, times: StepTimes, result: PassTimes) -> None:
        clock, steps = self.arch.clock, work.n_steps * work.segment.shape.n_units
        row_cycles = projection_row_cycles(self.arch, work.segment)
        rows_and_tallies = zip(work.segment.projection_rows, result.tally.tolist(), strict=True)
        for gate, (n_rows, tally) in enumerate(rows_and_tallies):
            projecting = work.n_steps * n_rows * row_cycles
            busy = projecting + tally[EVALUATED] * times.dot_cycles + tally[REUSED] * times.memo_hit_cycles
            self.probe.emit(Worked, unit=unit_name(gate, DPU), time_ps=clock.to_ps(busy))
            if times.has_memo:
                self.probe.emit(Worked, unit=unit_name(gate, FMU), time_ps=clock.to_ps(steps * times.issue_cycles))
            for unit, reason, column in WAITS:
                if tally[column]:
                    waited_ps = clock.to_ps(tally[column])
                    self.probe.emit(Waited, unit=unit_name(gate, unit), reason=reason, time_ps=waited_ps)
        if work.segment.updates_cells:
            updates = steps * work.segment.update_groups
            self.probe.emit(Worked, unit=MU, time_ps=clock.to_ps(updates * times.update_interval_cycles))
        if result.update_wait[0]:
            self.probe.emit(Waited, unit=MU, reason=waits.PRODUCTS, time_ps=clock.to_ps(int(result.update_wait[0])))

    def _emit_spans(self, work: PassWork, costs: SegmentCosts, result: PassTimes, start_ps: int) -> None:
        """Emit one span per unit and step, for timelines."""
        clock = self.arch.clock
        for t, (gates, update) in enumerate(zip(row_lists(result.spans), row_lists(result.update_spans), strict=True)):
            what = f"step {t}, {work.segment.label}, neurons 0 to {work.segment.shape.n_units - 1}"
            for k, span in enumerate(gates):
                if self.arch.fmu and work.segment.updates_cells:
                    emit_span(
                        self.probe, clock, unit_name(k, FMU), what, start_ps, span[FIRST_ISSUE], span[LAST_DECISION]
                    )
                emit_span(self.probe, clock, unit_name(k, DPU), what, start_ps, span[FIRST_TAKEN], span[LAST_FREE])
            emit_span(self.probe, clock, MU, what, start_ps, *update)
            begin = update[1] + costs.times.writeback_cycles
            for k, n_rows in enumerate(work.segment.projection_rows):
                if n_rows:
                    end = begin + n_rows * projection_row_cycles(self.arch, work.segment)
                    emit_span(self.probe, clock, unit_name(k, DPU), f"project, {what}", start_ps, begin, end)


def _rows_fetched(work: PassWork, streamed: StreamedWeights) -> I64:
    """Return the evaluations of neurons whose weights are not on chip, per step (T,)."""
    shape = work.segment.shape
    reused = np.unpackbits(work.reuse_bits, axis=1, count=shape.neurons_per_step)
    evaluated = (1 - reused.reshape(-1, shape.n_gates, shape.n_units))[..., ~streamed.resident]
    fetched: I64 = evaluated.sum(axis=(1, 2), dtype=np.int64)
    return fetched
