"""Detail `block` of the column-skipping machine: one event per pass, its step times from a kernel.

A pass whose weights stream is co-simulated with main memory, up to the next event of the simulation.
"""

from __future__ import annotations

import numpy as np

from archsim.engine.trace_events import Waited, Worked
from archsim.kernels.arrays import I64, Bools, row_lists
from archsim.kernels.pipeline.column_state import ColumnPassState, columns_before_start
from archsim.kernels.pipeline.columns import (
    COLUMN_FIRST_UPDATE,
    COLUMN_LAST_UPDATE,
    ENTERED,
    FIRST_COLUMN,
    LAST_COLUMN,
    ON_CODES,
    ON_COLUMN,
    ON_COLUMN_WEIGHTS,
    ON_SLOT,
    ON_SUMS,
    ON_TAIL,
    SCANNED,
    ColumnPassTimes,
    time_columns,
)
from archsim.kernels.pipeline.streamed_columns import advance_column_pass, enter_first_column_step
from archsim.sim import waits
from archsim.sim.actions import cell_update, emit_actions, port_words, step_transfers
from archsim.sim.items import PassWork, StreamedWeights
from archsim.sim.machines.co_simulated_pass import CoSimulatedPass, PassKernel, emit_streamed
from archsim.sim.machines.delta.costs import column, column_times, delta_of, scan, sums_read, thresholds_copied
from archsim.sim.machines.delta.tail import factors_copied, tails
from archsim.sim.machines.delta.units.delta_unit import DELTA_UNIT
from archsim.sim.machines.delta.units.tail_unit import TAIL_UNIT
from archsim.sim.machines.machine import Compute, Connections
from archsim.sim.units.unit import DPU, MU, ProcessGenerator, emit_span, unit_name
from archsim.units import ceil_div


class DeltaPassLevel(Compute):
    """Compute side as one unit that computes when each step of a pass ends."""

    def __init__(self, connections: Connections) -> None:
        super().__init__(connections)
        self.delta = delta_of(self.arch)

    def run_pass(self, work: PassWork, *, fills: bool) -> ProcessGenerator:
        """Run all steps of a pass; return S_{t+1} of each, in cycles from now."""
        start_ps, segment = self.env.now_ps, work.segment
        times, words = column_times(self.arch, segment), port_words(self.arch, segment)
        if work.streamed:
            kernel = PassKernel(advance_column_pass, times)
            run = CoSimulatedPass(self, self._pass_before_start(work, work.streamed), kernel, port_words=words)
            result: ColumnPassTimes = yield run.ended
            emit_streamed(self, work, "columns", _columns_fetched(work, work.streamed), result.step_ends, start_ps)
        else:
            result = time_columns(work.reuse_bits, segment.shape.n_inputs, segment.shape.n_units, times)
            starts = np.concatenate([[0], result.step_ends[:-1]]) + self.arch.clock.to_cycles(start_ps)
            self.port.reserve(starts, words)
            yield self.env.timeout(self.arch.clock.to_ps(int(result.step_ends[-1])))
        self._emit_actions(work, result)
        self._emit_times(work, result)
        if self.probe.wants_spans:
            self._emit_spans(work, result, start_ps)
        return result.step_ends

    def _pass_before_start(self, work: PassWork, streamed: StreamedWeights) -> ColumnPassState:
        n_gates = work.segment.shape.n_gates
        state = columns_before_start(
            np.ascontiguousarray(work.reuse_bits),
            streamed.resident,
            np.array(streamed.addresses, np.int64),
            self.dram.reserve_transfers(n_gates * streamed.slots).reshape(n_gates, streamed.slots),
            column_bytes=streamed.each_bytes,
            n_units=work.segment.shape.n_units,
            n_transfers=self.dram.memory.transfers.shape[0],
            start=self.arch.clock.to_cycles(self.env.now_ps),
            spans=self.probe.wants_spans,
        )
        enter_first_column_step(state)
        return state

    def _emit_actions(self, work: PassWork, result: ColumnPassTimes) -> None:
        shape, steps, cell = work.segment.shape, work.n_steps, self.cells[work.segment.shape.layer]
        entering = _entering(work)
        columns = int(entering.sum()) * shape.n_gates
        emit_actions(self.probe, scan(self.arch, self.delta, entering), shape.n_gates)
        emit_actions(self.probe, column(self.arch, self.delta, shape.n_units), columns)
        emit_actions(self.probe, sums_read(self.arch, cell, shape.n_units), steps)
        emit_actions(self.probe, thresholds_copied(self.arch, shape.n_inputs), shape.n_gates)
        for n_products in cell.products_per_gate:
            emit_actions(self.probe, tails(self.arch, shape.n_inputs, shape.n_units, n_products), steps - 1)
        emit_actions(self.probe, factors_copied(self.arch, shape.n_units), shape.n_gates)
        emit_actions(self.probe, cell_update(self.arch, cell), steps * shape.n_units)
        emit_actions(self.probe, step_transfers(self.arch, work.segment), steps)

    def _emit_times(self, work: PassWork, result: ColumnPassTimes) -> None:
        shape = work.segment.shape
        # Where weights are on chip, one tally stands for all gates.
        tallies = np.broadcast_to(result.tally, (shape.n_gates, result.tally.shape[1])).tolist()
        times = column_times(self.arch, work.segment)
        groups = ceil_div(shape.n_inputs, times.width)
        for k, tally in enumerate(tallies):
            self._emit_work(unit_name(k, DELTA_UNIT), work.n_steps * groups)
            self._emit_work(unit_name(k, DPU), tally[ENTERED] * times.column_cycles)
            self._emit_wait(unit_name(k, DELTA_UNIT), waits.COLUMN_SLOT, tally[ON_SLOT])
            self._emit_wait(unit_name(k, DPU), waits.COLUMN, tally[ON_COLUMN])
            self._emit_wait(unit_name(k, DPU), waits.WEIGHTS, tally[ON_COLUMN_WEIGHTS])
            self._emit_work(unit_name(k, TAIL_UNIT), (work.n_steps - 1) * shape.n_units * times.tail_row_cycles)
            self._emit_wait(unit_name(k, TAIL_UNIT), waits.CODES, tally[ON_CODES])
        self._emit_work(MU, work.n_steps * shape.n_units * times.update_interval_cycles)
        self._emit_wait(MU, waits.PRODUCTS, tallies[0][ON_SUMS])
        self._emit_wait(MU, waits.TAIL, tallies[0][ON_TAIL])

    def _emit_work(self, unit: str, n_cycles: int) -> None:
        if n_cycles:
            self.probe.emit(Worked, unit=unit, time_ps=self.arch.clock.to_ps(n_cycles))

    def _emit_wait(self, unit: str, reason: str, n_cycles: int) -> None:
        if n_cycles:
            self.probe.emit(Waited, unit=unit, reason=reason, time_ps=self.arch.clock.to_ps(n_cycles))

    def _emit_spans(self, work: PassWork, result: ColumnPassTimes, start_ps: int) -> None:
        """Emit one span per unit and step, for timelines."""
        clock = self.arch.clock
        begins = [0, *result.step_ends.tolist()]
        n_gates, n_units = work.segment.shape.n_gates, work.segment.shape.n_units
        tail_cycles = n_units * column_times(self.arch, work.segment).tail_row_cycles
        spans = np.broadcast_to(result.spans, (result.spans.shape[0], n_gates, result.spans.shape[2]))
        for t, (begin, gates) in enumerate(zip(begins, row_lists(spans), strict=False)):
            what = f"step {t}, {work.segment.label}"
            for k, span in enumerate(gates):
                emit_span(self.probe, clock, unit_name(k, DELTA_UNIT), f"{what}, scan", start_ps, begin, span[SCANNED])
                if t > 0 and tail_cycles:
                    end = span[SCANNED] + tail_cycles
                    unit = unit_name(k, TAIL_UNIT)
                    emit_span(self.probe, clock, unit, f"{what}, tail", start_ps, span[SCANNED], end)
                if span[LAST_COLUMN] > span[FIRST_COLUMN]:
                    emit_span(
                        self.probe,
                        clock,
                        unit_name(k, DPU),
                        f"{what}, columns",
                        start_ps,
                        span[FIRST_COLUMN],
                        span[LAST_COLUMN],
                    )
            emit_span(
                self.probe, clock, MU, what, start_ps, gates[0][COLUMN_FIRST_UPDATE], gates[0][COLUMN_LAST_UPDATE]
            )


def _entering(work: PassWork) -> Bools:
    """Return the elements that enter in each step, (T, N)."""
    return np.unpackbits(~work.reuse_bits, axis=1, count=work.segment.shape.n_inputs).astype(np.bool_)


def _columns_fetched(work: PassWork, streamed: StreamedWeights) -> I64:
    """Return the columns that enter and are not on chip, of all gates, per step (T,)."""
    entering = _entering(work)[:, ~streamed.resident]
    fetched: I64 = entering.sum(axis=1, dtype=np.int64) * work.segment.shape.n_gates
    return fetched
