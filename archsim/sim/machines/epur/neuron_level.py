"""Detail `neuron`: every unit is a process that handles neuron after neuron. It defines the machine's timing."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np

from archsim.engine.port import Port
from archsim.kernels.arrays import Bools
from archsim.sim.actions import emit_actions, port_words
from archsim.sim.items import PassSegment, PassWork
from archsim.sim.machines.epur.costs import (
    input_bits,
    pass_actions,
    projection_row_cycles,
    step_actions,
    step_times,
)
from archsim.sim.machines.epur.shared_dispatch.units import GateWires, SharedDotProductUnits
from archsim.sim.machines.epur.units import ProjectionWork, StepWork
from archsim.sim.machines.epur.units.dpu import DotProductUnit
from archsim.sim.machines.epur.units.fmu import FMU, EvaluateAll, FuzzyMemoUnit
from archsim.sim.machines.epur.units.row_fetcher import RowFetcher
from archsim.sim.machines.machine import Compute, Connections
from archsim.sim.machines.neuron_level import run_steps
from archsim.sim.units.mu import MultiFunctionalUnit
from archsim.sim.units.unit import DPU, Credits, ProcessGenerator, unit_name


class ComputationUnit(NamedTuple):
    """Hardware of one gate: the memoization unit runs ahead, and the dot product unit follows."""

    predictor: FuzzyMemoUnit | EvaluateAll
    fetcher: RowFetcher
    dot_product: DotProductUnit | GateWires
    """Dot product unit of the gate, or its wires to the units that share their work."""
    results: Port[int]
    result_credits: Credits


class EpurNeuronLevel(Compute):
    """Compute side wired unit by unit.

    step ──> FMU ──decisions──> DPU ──results──> ┐
              │└─── run-ahead credits ──┘│       ├──> MU ──> step ends
              └──> row fetcher ──rows────┘       │
    step ──> FMU ──decisions──> DPU ──results──> ┘
                                 └── result-lag credits ──┘

    Arrows are ports. An item carries its time of arrival, so only a unit that has to wait for it schedules an event.
    Where dot product units share their work, all DPUs are one block between the same wires.
    """

    def __init__(self, connections: Connections) -> None:
        super().__init__(connections)
        self.units = [_computation_unit(k, connections) for k in range(self.arch.computation_units)]
        if wires := [unit.dot_product for unit in self.units if isinstance(unit.dot_product, GateWires)]:
            SharedDotProductUnits(self.env, self.arch, wires, self.probe)
        self.mu = MultiFunctionalUnit(
            self.env,
            self.arch,
            results=[u.results for u in self.units],
            result_credits=[u.result_credits for u in self.units],
            cells=self.cells,
            probe=self.probe,
        )

    def run_pass(self, work: PassWork, *, fills: bool) -> ProcessGenerator:
        """Run all steps of a segment; return S_{t+1} of each, in cycles from now."""
        segment, times, reused = work.segment, step_times(self.arch, work.segment), _reused(work)

        def send_step(t: int, gates: slice) -> None:
            for unit, gate_reused in zip(self.units[gates], reused[t, gates].tolist(), strict=False):
                step = StepWork(segment, times, gate_reused, work.streamed)
                unit.predictor.steps.send(step)
                unit.fetcher.steps.send(step)
                unit.dot_product.steps.send(step)

        words = port_words(self.arch, segment, input_bits(self.arch, segment))
        project = partial(self._project, segment) if segment.n_projected else None
        ends = yield from run_steps(self, self.mu, work, times, port_words=words, send_step=send_step, project=project)
        emit_actions(self.probe, step_actions(self.arch, segment), work.n_steps)
        emit_actions(self.probe, pass_actions(self.arch, segment))
        return ends

    def _project(self, segment: PassSegment) -> ProcessGenerator:
        """Compute the projection on the dot product units of the pass's gates, and wait for all of them."""
        row_cycles, busy = projection_row_cycles(self.arch, segment), []
        for unit, n_rows in zip(self.units, segment.projection_rows, strict=False):
            assert isinstance(unit.dot_product, DotProductUnit), "units that share work were refused"
            if n_rows:
                unit.dot_product.steps.send(ProjectionWork(segment, n_rows, row_cycles))
                busy.append(unit.dot_product)
        for dot_product in busy:
            yield from dot_product.projected.get()


def _reused(work: PassWork) -> Bools:
    """Return the reuse decisions of a segment, (T, G, H)."""
    shape = work.segment.shape
    bits = np.unpackbits(work.reuse_bits, axis=1, count=shape.neurons_per_step)
    return bits.astype(np.bool_).reshape(-1, shape.n_gates, shape.n_units)


def _computation_unit(gate: int, connections: Connections) -> ComputationUnit:
    env, arch, probe = connections.env, connections.arch, connections.probe
    fetcher = RowFetcher(env, gate, arch, dram=connections.dram, probe=probe)
    decisions: Port[bool] = Port(env)
    predictor: FuzzyMemoUnit | EvaluateAll
    if arch.fmu is None:
        predictor = EvaluateAll(env, arch, decisions=decisions, rows=fetcher.decisions, probe=probe)
    else:
        predictor = FuzzyMemoUnit(
            env, unit_name(gate, FMU), arch, arch.fmu, decisions=decisions, rows=fetcher.decisions, probe=probe
        )
    results: Port[int] = Port(env)
    result_credits = Credits(env, arch.mu.result_lag, f"{unit_name(gate, DPU)} results ahead", probe)
    # Shared units are made by the caller, because one block of them serves all gates.
    if arch.dispatch == "shared":
        wires = GateWires(Port(env), decisions, predictor.run_ahead, results, result_credits)
        return ComputationUnit(predictor, fetcher, wires, results, result_credits)
    dot_product = DotProductUnit(
        env,
        unit_name(gate, DPU),
        arch,
        decisions=decisions,
        run_ahead=predictor.run_ahead,
        fetcher=fetcher,
        results=results,
        result_credits=result_credits,
        probe=probe,
    )
    return ComputationUnit(predictor, fetcher, dot_product, results, result_credits)
