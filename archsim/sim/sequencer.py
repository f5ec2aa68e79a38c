"""The layer sequencer: sequences one after the other, layers in order, directions in turn (batch 1).

The layers of a decoder take turns at every step. A step takes as long whatever ran before it, so they are
simulated one after the other, with the weights of all of them on chip: the same time, fewer events.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import simpy

from archsim.engine.environment import Engine
from archsim.engine.facts import PassDone
from archsim.engine.probe import Probe
from archsim.sim.memory.sequences import IntermediateMemory
from archsim.sim.memory.weights import WeightBuffers
from archsim.sim.units.wires import Process
from archsim.sim.work import PassWork, ResidentGroup
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
        groups: Sequence[ResidentGroup],
        compute: Compute,
        weights: WeightBuffers,
        sequences: IntermediateMemory,
        clock_period_ps: int,
        probe: Probe,
    ) -> None:
        self.env, self.activity, self.groups, self.compute = env, activity, groups, compute
        self.weights, self.sequences = weights, sequences
        self.clock_period_ps, self.probe = clock_period_ps, probe
        self.done = env.process(self.run())

    def run(self) -> Process:
        """Run the whole trace."""
        n_sequences, last_group = self.activity.n_sequences, len(self.groups) - 1
        for _ in range(n_sequences):
            sequence: int = yield self.sequences.loaded.get()
            spills: list[simpy.Event] = []
            for position, group in enumerate(self.groups):
                if group[0].direction == 0:
                    spills = [spill for shape in group for spill in self.sequences.spill(shape.layer, sequence)]
                yield self.weights.acquire(position)
                if position < last_group or sequence + 1 < n_sequences:
                    self.weights.prefetch(position)
                for shape in group:
                    bits = self.activity.pass_bits(sequence, shape.layer, shape.direction)
                    yield from self._run_pass(PassWork(sequence, shape, bits))
                layer_ends = position == last_group or self.groups[position + 1][0].direction == 0
                if layer_ends and spills:
                    yield self.env.all_of(spills)
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
