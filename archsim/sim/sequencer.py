"""The layer sequencer: sequences one after the other, layers in order, directions in turn (batch 1)."""

from __future__ import annotations

from typing import Protocol

from archsim.engine.environment import Engine
from archsim.engine.facts import PassDone
from archsim.engine.probe import Probe
from archsim.sim.memory.sequences import IntermediateMemory
from archsim.sim.memory.weights import WeightBuffers
from archsim.sim.units.wires import Process
from archsim.sim.work import PassWork
from archsim.traceio.activity import ActivityRecord


class Compute(Protocol):
    """The compute side of the machine, in either detail."""

    def run_pass(self, work: PassWork) -> Process:
        """Run a pass whose weights and inputs are on chip; return S_{t+1} of each step in cycles."""


class Sequencer:
    """Brings together weights, inputs and the compute side, pass by pass."""

    def __init__(
        self,
        env: Engine,
        activity: ActivityRecord,
        *,
        compute: Compute,
        weights: WeightBuffers,
        sequences: IntermediateMemory,
        clock_period_ps: int,
        probe: Probe,
    ) -> None:
        self.env, self.activity, self.compute = env, activity, compute
        self.weights, self.sequences = weights, sequences
        self.clock_period_ps, self.probe = clock_period_ps, probe
        self.done = env.process(self.run())

    def run(self) -> Process:
        """Run the whole trace."""
        shapes, n_sequences = self.activity.shapes, self.activity.lengths.size
        for _ in range(n_sequences):
            sequence: int = yield self.sequences.loaded.get()
            spill = None
            for position, shape in enumerate(shapes):
                if shape.direction == 0:
                    spill = self.sequences.spill(shape.layer, sequence)
                yield self.weights.acquire(position)
                if position + 1 < len(shapes) or sequence + 1 < n_sequences:
                    self.weights.prefetch(position)
                bits = self.activity.pass_bits(sequence, shape.layer, shape.direction)
                yield from self._run_pass(PassWork(sequence, shape, bits))
                layer_ends = position + 1 == len(shapes) or shapes[position + 1].layer != shape.layer
                if spill is not None and layer_ends:
                    yield spill
            self.sequences.store(sequence)
        yield self.sequences.all_stored()

    def _run_pass(self, work: PassWork) -> Process:
        # Memories answer at any picosecond; the units start at the next edge of their clock.
        yield self.env.timeout(-self.env.now_ps % self.clock_period_ps)
        ends = yield from self.compute.run_pass(work)
        self.probe.emit(
            PassDone,
            sequence=work.sequence,
            layer=work.shape.layer,
            direction=work.shape.direction,
            step_end_cycles=ends,
        )
