"""Detail `block` of the column-skipping machine: one event per pass, its step times from a kernel."""

from __future__ import annotations

import numpy as np

from archsim.engine.trace_events import Waited, Worked
from archsim.kernels.arrays import row_lists
from archsim.kernels.pipeline.columns import (
    COLUMN_FIRST_UPDATE,
    COLUMN_LAST_UPDATE,
    ENTERED,
    FIRST_COLUMN,
    LAST_COLUMN,
    ON_CODES,
    ON_COLUMN,
    ON_SLOT,
    ON_SUMS,
    ON_TAIL,
    SCANNED,
    ColumnPassTimes,
    time_columns,
)
from archsim.sim import waits
from archsim.sim.actions import cell_update, emit_actions, port_words, step_transfers
from archsim.sim.items import PassWork
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
        times = column_times(self.arch, segment)
        result = time_columns(work.reuse_bits, segment.shape.n_inputs, segment.shape.n_units, times)
        starts = np.concatenate([[0], result.step_ends[:-1]]) + self.arch.clock.to_cycles(start_ps)
        self.port.reserve(starts, port_words(self.arch, segment))
        yield self.env.timeout(self.arch.clock.to_ps(int(result.step_ends[-1])))
        self._emit_actions(work, result)
        self._emit_times(work, result)
        if self.probe.wants_spans:
            self._emit_spans(work, result, start_ps)
        return result.step_ends

    def _emit_actions(self, work: PassWork, result: ColumnPassTimes) -> None:
        shape, steps, cell = work.segment.shape, work.n_steps, self.cells[work.segment.shape.layer]
        entering = np.unpackbits(~work.reuse_bits, axis=1, count=shape.n_inputs).astype(np.bool_)
        columns = int(result.tally[ENTERED]) * shape.n_gates
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
        shape, tally = work.segment.shape, result.tally.tolist()
        times = column_times(self.arch, work.segment)
        groups = ceil_div(shape.n_inputs, times.width)
        for k in range(shape.n_gates):
            self._emit_work(unit_name(k, DELTA_UNIT), work.n_steps * groups)
            self._emit_work(unit_name(k, DPU), tally[ENTERED] * times.column_cycles)
            self._emit_wait(unit_name(k, DELTA_UNIT), waits.COLUMN_SLOT, tally[ON_SLOT])
            self._emit_wait(unit_name(k, DPU), waits.COLUMN, tally[ON_COLUMN])
            self._emit_work(unit_name(k, TAIL_UNIT), (work.n_steps - 1) * shape.n_units * times.tail_row_cycles)
            self._emit_wait(unit_name(k, TAIL_UNIT), waits.CODES, tally[ON_CODES])
        self._emit_work(MU, work.n_steps * shape.n_units * times.update_interval_cycles)
        self._emit_wait(MU, waits.PRODUCTS, tally[ON_SUMS])
        self._emit_wait(MU, waits.TAIL, tally[ON_TAIL])

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
        tail_cycles = work.segment.shape.n_units * column_times(self.arch, work.segment).tail_row_cycles
        for t, (begin, span) in enumerate(zip(begins, row_lists(result.spans), strict=False)):
            what = f"step {t}, {work.segment.label}"
            for k in range(work.segment.shape.n_gates):
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
            emit_span(self.probe, clock, MU, what, start_ps, span[COLUMN_FIRST_UPDATE], span[COLUMN_LAST_UPDATE])
