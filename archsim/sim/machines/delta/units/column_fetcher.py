"""Column fetcher: requests columns of weights that are not on chip from main memory, as the delta unit finds them."""

from __future__ import annotations

from archsim.config.arch import ArchSpec
from archsim.engine.environment import Engine
from archsim.engine.port import Port
from archsim.engine.probe import Probe
from archsim.sim.machines.delta.units import ColumnStepWork
from archsim.sim.machines.weight_fetcher import WeightFetcher
from archsim.sim.memory.dram import MainMemory
from archsim.sim.units.unit import ProcessGenerator


class ColumnFetcher(WeightFetcher):
    """Unit that fetches the columns that enter; they come as to the dot product unit, and None after the last one."""

    def __init__(self, env: Engine, gate: int, arch: ArchSpec, *, dram: MainMemory, probe: Probe) -> None:
        super().__init__(env, gate, "columns", arch, dram=dram, probe=probe)
        self.steps: Port[ColumnStepWork] = Port(env)
        self.columns: Port[int | None] = Port(env)
        env.process(self.run())

    def run(self) -> ProcessGenerator:
        """Serve step after step."""
        while True:
            step = yield from self.steps.get()
            if step.streamed is None:
                continue
            self.set_slots(step.streamed.slots)
            while (element := (yield from self.columns.get())) is not None:
                if step.fetches(element):
                    what = f"column {element} of {step.segment.label}, gate {self.gate}"
                    yield from self.request(step.streamed, element, what)
