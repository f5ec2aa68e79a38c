"""Row fetcher: requests weights that are not on chip from main memory, as their neurons are decided."""

from __future__ import annotations

import simpy

from archsim.config.arch import ArchSpec
from archsim.engine.environment import Engine
from archsim.engine.port import Port
from archsim.engine.probe import Probe
from archsim.kernels.dram.fill_ports import contended_read_end
from archsim.sim.actions import emit_actions, weight_fill
from archsim.sim.items import StreamedRows
from archsim.sim.machines.epur.units import StepWork
from archsim.sim.memory.dram import FillTarget, MainMemory
from archsim.sim.units.unit import Credits, ProcessGenerator, Unit, unit_name, wait_until_stable


class RowFetcher(Unit):
    """Unit that fetches the rows of neurons to be evaluated, in order, as many at a time as there are slots."""

    def __init__(self, env: Engine, gate: int, arch: ArchSpec, *, dram: MainMemory, probe: Probe) -> None:
        super().__init__(env, unit_name(gate, "rows"), arch, probe)
        self.gate = gate
        self.dram = dram
        self.steps: Port[StepWork] = Port(env)
        self.decisions: Port[bool] = Port(env)
        self.rows: Port[simpy.Event] = Port(env)
        self.shares_bank = arch.weight_buffer.banks == 1
        self.slots = self._credits(arch.weight_buffer.stream_rows)
        env.process(self.run())

    def run(self) -> ProcessGenerator:
        """Serve step after step."""
        while True:
            step = yield from self.steps.get()
            if step.streamed is None:
                continue
            self.slots = self._credits(step.streamed.slots)
            for neuron in range(step.segment.shape.n_units):
                reused = yield from self.decisions.get()
                if not reused and step.fetches(neuron):
                    if not self.slots.n_free:
                        yield self.slots.next_return()
                    self.slots.take()
                    self.rows.send(self._fetch(step, step.streamed, neuron))

    def _credits(self, n_slots: int) -> Credits:
        return Credits(self.env, n_slots, f"{self.name} on their way", self.probe)

    def _fetch(self, step: StepWork, streamed: StreamedRows, neuron: int) -> simpy.Event:
        n_bytes = step.segment.row_bytes
        emit_actions(self.probe, weight_fill(self.arch, n_bytes))
        return self.dram.transfer(
            streamed.addresses[self.gate] + neuron * n_bytes,
            n_bytes,
            what=f"row {neuron} of {step.segment.label}, gate {self.gate}",
            requester=self.gate,
            target=FillTarget(self.gate, n_bytes),
        )

    def read(self, n_cycles: int) -> ProcessGenerator:
        """Read weights for `n_cycles`; where the weight buffer has one bank, fills take precedence."""
        if not self.shares_bank:
            yield self.cycles(n_cycles)
            return
        start = self.clock.to_cycles(self.env.now_ps)
        yield from wait_until_stable(
            self.env, self.clock, lambda: int(contended_read_end(self.dram.memory, self.gate, start, n_cycles))
        )
