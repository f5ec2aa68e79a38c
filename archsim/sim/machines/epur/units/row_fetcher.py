"""Row fetcher: requests weights that are not on chip from main memory, as their neurons are decided."""

from __future__ import annotations

from archsim.config.arch import ArchSpec
from archsim.engine.environment import Engine
from archsim.engine.port import Port
from archsim.engine.probe import Probe
from archsim.kernels.dram.fill_ports import contended_read_end
from archsim.sim.machines.epur.units import StepWork
from archsim.sim.machines.weight_fetcher import WeightFetcher
from archsim.sim.memory.dram import MainMemory
from archsim.sim.units.unit import ProcessGenerator, wait_until_stable


class RowFetcher(WeightFetcher):
    """Unit that fetches the rows of neurons to be evaluated."""

    def __init__(self, env: Engine, gate: int, arch: ArchSpec, *, dram: MainMemory, probe: Probe) -> None:
        super().__init__(env, gate, "rows", arch, dram=dram, probe=probe)
        self.steps: Port[StepWork] = Port(env)
        self.decisions: Port[bool] = Port(env)
        self.shares_bank = arch.weight_buffer.banks == 1
        env.process(self.run())

    def run(self) -> ProcessGenerator:
        """Serve step after step."""
        while True:
            step = yield from self.steps.get()
            if step.streamed is None:
                continue
            self.set_slots(step.streamed.slots)
            for neuron in range(step.segment.shape.n_units):
                reused = yield from self.decisions.get()
                if not reused and step.fetches(neuron):
                    what = f"row {neuron} of {step.segment.label}, gate {self.gate}"
                    yield from self.request(step.streamed, neuron, what)

    def read(self, n_cycles: int) -> ProcessGenerator:
        """Read weights for `n_cycles`; where the weight buffer has one bank, fills take precedence."""
        if not self.shares_bank:
            yield self.cycles(n_cycles)
            return
        start = self.clock.to_cycles(self.env.now_ps)
        yield from wait_until_stable(
            self.env, self.clock, lambda: int(contended_read_end(self.dram.memory, self.gate, start, n_cycles))
        )
