"""Base of the units that request weights from main memory, in detail `neuron`."""

from __future__ import annotations

import simpy

from archsim.config.arch import ArchSpec
from archsim.engine.environment import Engine
from archsim.engine.port import Port
from archsim.engine.probe import Probe
from archsim.sim.actions import emit_actions, weight_fill
from archsim.sim.items import StreamedWeights
from archsim.sim.memory.dram import FillTarget, MainMemory
from archsim.sim.units.unit import Credits, ProcessGenerator, Unit, unit_name


class WeightFetcher(Unit):
    """Unit that fetches rows or columns of a gate, in the order of its requests, as many at a time as there are slots.

    The dot product unit takes the arrivals in that order, and gives a slot back when it has read what is in it.
    """

    def __init__(self, env: Engine, gate: int, label: str, arch: ArchSpec, *, dram: MainMemory, probe: Probe) -> None:
        super().__init__(env, unit_name(gate, label), arch, probe)
        self.gate = gate
        self.dram = dram
        self.arrivals: Port[simpy.Event] = Port(env)
        self.set_slots(arch.weight_buffer.stream_rows)

    def set_slots(self, n_slots: int) -> None:
        """Set the slots, all free; the shares of segments differ."""
        self.slots = Credits(self.env, n_slots, f"{self.name} on their way", self.probe)

    def request(self, streamed: StreamedWeights, index: int, what: str) -> ProcessGenerator:
        """Wait for a slot, and request the row or column `index`."""
        if not self.slots.n_free:
            yield self.slots.next_return()
        self.slots.take()
        emit_actions(self.probe, weight_fill(self.arch, streamed.each_bytes))
        transfer = self.dram.transfer(
            streamed.addresses[self.gate] + index * streamed.each_bytes,
            streamed.each_bytes,
            what=what,
            requester=self.gate,
            target=FillTarget(self.gate, streamed.each_bytes),
        )
        self.arrivals.send(transfer)
