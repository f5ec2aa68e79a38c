"""Detail `neuron` of the column-skipping machine: every unit is a process that handles column after column."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from archsim.config.delta_unit import DeltaSpec
from archsim.engine.port import Port
from archsim.sim.actions import emit_actions, port_words, step_transfers
from archsim.sim.items import PassWork
from archsim.sim.machines.delta.costs import column_times, delta_of, sums_read, thresholds_copied
from archsim.sim.machines.delta.tail import factors_copied
from archsim.sim.machines.delta.units import ColumnStepWork
from archsim.sim.machines.delta.units.column_dpu import ColumnDotProductUnit
from archsim.sim.machines.delta.units.column_fetcher import ColumnFetcher
from archsim.sim.machines.delta.units.delta_unit import DELTA_UNIT, DeltaUnit
from archsim.sim.machines.delta.units.tail_unit import TAIL_UNIT, TailUnit
from archsim.sim.machines.machine import Compute, Connections
from archsim.sim.machines.neuron_level import run_steps
from archsim.sim.units.mu import MultiFunctionalUnit
from archsim.sim.units.unit import DPU, ProcessGenerator, unit_name


class ColumnUnit(NamedTuple):
    """Hardware of one gate: the delta unit runs ahead, and the dot product unit and the tail unit, if any, follow."""

    delta: DeltaUnit
    fetcher: ColumnFetcher
    dot_product: ColumnDotProductUnit
    results: Port[int]
    tail: TailUnit | None


class DeltaNeuronLevel(Compute):
    """Compute side wired unit by unit.

    step ──> delta unit ──columns──> DPU ──sums──> ┐
              ││ └────── credits ─────┘│           │
              │└──> column fetcher ────┘           ├──> MU ──> step ends
              └──codes──> tail unit ──tails──────> ┤
    step ──> delta unit ──columns──> DPU ──sums──> ┘
    """

    def __init__(self, connections: Connections) -> None:
        super().__init__(connections)
        self.delta = delta_of(self.arch)
        self.units = [_column_unit(k, connections, self.delta) for k in range(self.arch.computation_units)]
        self.mu = MultiFunctionalUnit(
            self.env,
            self.arch,
            results=[unit.results for unit in self.units],
            result_credits=[],
            cells=self.cells,
            probe=self.probe,
            tails=[unit.tail.results for unit in self.units if unit.tail],
        )

    def run_pass(self, work: PassWork, *, fills: bool) -> ProcessGenerator:
        """Run all steps of a pass; return S_{t+1} of each, in cycles from now."""
        segment, times = work.segment, column_times(self.arch, work.segment)
        cell = self.cells[segment.shape.layer]

        def send_step(t: int, gates: slice) -> None:
            entering = ~np.unpackbits(work.reuse_bits[t], count=segment.shape.n_inputs).astype(np.bool_)
            for unit, n_products in zip(self.units[gates], cell.products_per_gate[gates], strict=False):
                step = ColumnStepWork(segment, times, entering, work.streamed, n_tails=n_products if t else 0)
                unit.delta.steps.send(step)
                unit.fetcher.steps.send(step)
                unit.dot_product.steps.send(step)
                if unit.tail:
                    unit.tail.steps.send(step)

        words = port_words(self.arch, segment)
        ends = yield from run_steps(self, self.mu, work, times, port_words=words, send_step=send_step)
        emit_actions(self.probe, step_transfers(self.arch, segment), work.n_steps)
        emit_actions(self.probe, sums_read(self.arch, cell, segment.shape.n_units), work.n_steps)
        emit_actions(self.probe, thresholds_copied(self.arch, segment.shape.n_inputs), segment.shape.n_gates)
        emit_actions(self.probe, factors_copied(self.arch, segment.shape.n_units), segment.shape.n_gates)
        return ends


def _column_unit(gate: int, connections: Connections, delta: DeltaSpec) -> ColumnUnit:
    env, arch, probe = connections.env, connections.arch, connections.probe
    columns: Port[int | None] = Port(env)
    codes: Port[None] = Port(env)
    results: Port[int] = Port(env)
    fetcher = ColumnFetcher(env, gate, arch, dram=connections.dram, probe=probe)
    unit = DeltaUnit(
        env,
        unit_name(gate, DELTA_UNIT),
        arch,
        delta,
        columns=columns,
        fetched=fetcher.columns,
        codes=codes,
        probe=probe,
    )
    dot_product = ColumnDotProductUnit(
        env,
        unit_name(gate, DPU),
        arch,
        delta,
        columns=columns,
        slots=unit.slots,
        fetcher=fetcher,
        results=results,
        probe=probe,
    )
    tail = TailUnit(env, unit_name(gate, TAIL_UNIT), arch, codes=codes, results=Port(env), probe=probe)
    return ColumnUnit(unit, fetcher, dot_product, results, tail if delta.tail_bits else None)
