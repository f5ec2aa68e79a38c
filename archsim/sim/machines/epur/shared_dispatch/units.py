"""Dot product units that share their work: an idle one takes a neuron of another gate (`dispatch = "shared"`).

Their times must equal those of `archsim/kernels/pipeline/shared_dispatch.py` (symbols of SEMANTICS 2.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import simpy

from archsim.config.arch import ArchSpec
from archsim.engine.environment import Engine
from archsim.engine.port import Port
from archsim.engine.probe import Probe
from archsim.sim import waits
from archsim.sim.actions import emit_actions, neuron_evaluation
from archsim.sim.machines.epur.shared_dispatch.costs import remote_row
from archsim.sim.machines.epur.units import StepWork
from archsim.sim.units.unit import DPU, Credits, ProcessGenerator, Unit, unit_name


class GateWires(NamedTuple):
    """Connections of the shared units to one gate's memoization unit and to the multi-functional unit."""

    steps: Port[StepWork]
    decisions: Port[bool]
    run_ahead: Credits | None
    results: Port[int]
    result_credits: Credits


class Offer(NamedTuple):
    """Next neuron of a gate, for any unit to take."""

    step: StepWork
    neuron: int
    reused: bool
    taken: simpy.Event


class SharedDotProductUnits:
    """Units j for gates k: each takes the neuron it can take first, of its own gate or of the gate furthest behind.

    A unit reads a borrowed neuron's weights over wires that carry one row at a time from each weight buffer.
    """

    def __init__(self, env: Engine, arch: ArchSpec, gates: Sequence[GateWires], probe: Probe) -> None:
        self.env = env
        self.arch = arch
        self.gates = gates
        self.probe = probe
        self.units = [Unit(env, unit_name(k, DPU), arch, probe) for k in range(len(gates))]
        self.free_ps: dict[int, int] = {}
        """Free units, and the time since when they are."""
        self.offers: dict[int, Offer] = {}
        self.borrowed: set[int] = set()
        """Gates whose weights a remote unit reads."""
        self.is_due = False
        for gate in range(len(gates)):
            env.process(self._offer(gate))

    def _offer(self, gate: int) -> ProcessGenerator:
        """Offer a gate's neurons in order, step after step; the gate's unit is free when a step begins."""
        wires = self.gates[gate]
        while True:
            step = yield from wires.steps.get()
            self.free_ps[gate] = self.env.now_ps
            for idle in range(step.segment.shape.n_gates, len(self.gates)):  # the last pass may have had more gates
                self.free_ps.pop(idle, None)
            for neuron in range(step.segment.shape.n_units):
                reused = yield from wires.decisions.get()
                if not wires.result_credits.n_free:
                    yield wires.result_credits.next_return()
                wires.result_credits.take()
                self.offers[gate] = Offer(step, neuron, reused, self.env.event())
                self._match_at_last()
                yield self.offers[gate].taken
                if wires.run_ahead is not None:
                    wires.run_ahead.give()
            emit_actions(self.probe, neuron_evaluation(self.arch, step.segment), step.reused.count(False))
            # Units serve other gates too, so the last gate to finish the step emits what is left of their times.
            for unit in self.units[: step.segment.shape.n_gates]:
                unit.emit_times()

    def _match_at_last(self) -> None:
        """Match units to neurons once everything else at this instant has happened."""
        if not self.is_due:
            self.is_due = True
            self.env.end_of_instant().callbacks.append(self._match)

    def _match(self, _: simpy.Event) -> None:
        """Let one unit take one neuron, then match again, because its gate may have the next one ready."""
        self.is_due = False
        # Least pair first: a unit's own gate, then the neuron furthest behind, then gate and unit by number.
        pairs = [
            (unit != gate, offer.neuron, gate, unit)
            for gate, offer in self.offers.items()
            for unit in self.free_ps
            if unit == gate or offer.reused or gate not in self.borrowed
        ]
        if pairs:
            gate, unit = min(pairs)[2:]
            self.env.process(self._serve(self.offers.pop(gate), gate, unit))
            self._match_at_last()

    def _serve(self, offer: Offer, gate: int, unit: int) -> ProcessGenerator:
        step, neuron, reused, times = offer.step, offer.neuron, offer.reused, offer.step.times
        is_remote = unit != gate and not reused
        cycles, latency = (times.memo_hit_cycles, 0) if reused else (times.dot_cycles, times.dot_pipeline_cycles)
        self.units[unit].count_wait(waits.DECISION, self.free_ps.pop(unit))
        template = "reuse {}, {}" if reused else "evaluate {}, {}"
        self.units[unit].count_work(self.arch.clock.to_ps(cycles), template, neuron, step.segment.label)
        # Sent when taken, with the delay until it is made, so that the gate's results keep their order.
        self.gates[gate].results.send(neuron, self.arch.clock.to_ps(cycles + latency))
        offer.taken.succeed()
        if is_remote:
            emit_actions(self.probe, remote_row(step.segment))
            self.borrowed.add(gate)
        yield self.units[unit].cycles(cycles)
        if is_remote:
            self.borrowed.remove(gate)
        self.free_ps[unit] = self.env.now_ps
        self._match_at_last()
