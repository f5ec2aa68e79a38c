"""Detail `neuron` of the column-skipping machine: every unit is a process that handles column after column."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from archsim.config.delta_unit import DeltaSpec
from archsim.engine.port import Port
from archsim.kernels.arrays import I64
from archsim.sim.actions import emit_actions, step_transfers, step_words
from archsim.sim.items import PassWork, UpdateWork
from archsim.sim.machines.delta.costs import column_times, delta_of, sums_read
from archsim.sim.machines.delta.units import ColumnStepWork
from archsim.sim.machines.delta.units.column_dpu import ColumnDotProductUnit
from archsim.sim.machines.delta.units.delta_unit import DELTA_UNIT, DeltaUnit
from archsim.sim.machines.machine import Connections
from archsim.sim.units.mu import MultiFunctionalUnit
from archsim.sim.units.unit import DPU, ProcessGenerator, unit_name


class ColumnUnit(NamedTuple):
    """Hardware of one gate: the delta unit runs ahead, and the dot product unit follows."""

    delta: DeltaUnit
    dot_product: ColumnDotProductUnit
    results: Port[int]


class DeltaNeuronLevel:
    """Compute side wired unit by unit.

    step ──> delta unit ──columns──> DPU ──sums──> ┐
                 └────── credits ─────┘            ├──> MU ──> step ends
    step ──> delta unit ──columns──> DPU ──sums──> ┘
    """

    def __init__(self, connections: Connections) -> None:
        self.env = connections.env
        self.arch = connections.arch
        self.delta = delta_of(connections.arch)
        self.cells = connections.cells
        self.port = connections.port
        self.probe = connections.probe
        self.units = [_column_unit(k, connections, self.delta) for k in range(self.arch.computation_units)]
        results = [unit.results for unit in self.units]
        self.multi_functional = MultiFunctionalUnit(
            self.env, self.arch, results=results, result_credits=[], cells=self.cells, probe=self.probe
        )

    def run_pass(self, work: PassWork, *, fills: bool) -> ProcessGenerator:
        """Run all steps of a pass; return S_{t+1} of each, in cycles from now."""
        segment, times, clock = work.segment, column_times(self.arch, work.segment), self.arch.clock
        start_ps, words = self.env.now_ps, sum(step_words(self.arch, segment))
        ends: I64 = np.empty(work.n_steps, np.int64)
        for t in range(work.n_steps):
            entering = ~np.unpackbits(work.reuse_bits[t], count=segment.shape.n_inputs).astype(np.bool_)
            step = ColumnStepWork(segment, times, entering)
            for unit in self.units[: segment.shape.n_gates]:
                unit.delta.steps.send(step)
                unit.dot_product.steps.send(step)
            self.multi_functional.steps.send(UpdateWork(segment, times))
            self.port.reserve(np.array([clock.to_cycles(self.env.now_ps)]), words)
            end_ps = yield from self.multi_functional.step_ends.get()
            ends[t] = clock.to_cycles(end_ps - start_ps)
        emit_actions(self.probe, step_transfers(self.arch, segment), work.n_steps)
        sums = sums_read(self.delta, self.cells[segment.shape.layer], segment.shape.n_units)
        emit_actions(self.probe, sums, work.n_steps)
        return ends


def _column_unit(gate: int, connections: Connections, delta: DeltaSpec) -> ColumnUnit:
    env, arch, probe = connections.env, connections.arch, connections.probe
    columns: Port[int | None] = Port(env)
    results: Port[int] = Port(env)
    unit = DeltaUnit(env, unit_name(gate, DELTA_UNIT), arch, delta, columns=columns, probe=probe)
    dot_product = ColumnDotProductUnit(
        env, unit_name(gate, DPU), arch, delta, columns=columns, slots=unit.slots, results=results, probe=probe
    )
    return ColumnUnit(unit, dot_product, results)
