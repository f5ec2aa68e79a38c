"""Tail unit: multiplies what has not entered by the weights of few bits, neuron after neuron."""

from __future__ import annotations

from archsim.config.arch import ArchSpec
from archsim.engine.environment import Engine
from archsim.engine.port import Port
from archsim.engine.probe import Probe
from archsim.sim import waits
from archsim.sim.actions import emit_actions
from archsim.sim.machines.delta.tail import tails
from archsim.sim.machines.delta.units import ColumnStepWork
from archsim.sim.units.unit import ProcessGenerator, Unit

TAIL_UNIT = "tail"
"""Label of a tail unit."""


class TailUnit(Unit):
    """Unit that starts a row of the tail bank every c_t cycles once all codes of a step are known.

    A neuron's tail is ready L_t after its row, and waits in the tail buffer. At step 0 there is none, so all neurons
    may go on at once.
    """

    def __init__(
        self, env: Engine, name: str, arch: ArchSpec, *, codes: Port[None], results: Port[int], probe: Probe
    ) -> None:
        super().__init__(env, name, arch, probe)
        self.codes = codes
        self.results = results
        self.steps: Port[ColumnStepWork] = Port(env)
        env.process(self.run())

    def run(self) -> ProcessGenerator:
        """Serve step after step."""
        while True:
            step = yield from self.steps.get()
            if step.n_tails:
                yield from self._serve(step)
            else:
                for neuron in range(step.segment.shape.n_units):
                    self.results.send(neuron)
                yield from self.codes.get()

    def _serve(self, step: ColumnStepWork) -> ProcessGenerator:
        shape, times = step.segment.shape, step.times
        yield from self.wait_for(self.codes.arrival(), waits.CODES)
        self.codes.take()
        row_ps, latency_ps = self.clock.to_ps(times.tail_row_cycles), self.clock.to_ps(times.tail_latency_cycles)
        self.count_work(shape.n_units * row_ps, "tail, {}", step.segment.label)
        for neuron in range(shape.n_units):
            self.results.send(neuron, (neuron + 1) * row_ps + latency_ps)
        emit_actions(self.probe, tails(self.arch, shape.n_inputs, shape.n_units, step.n_tails))
        self.emit_times()
