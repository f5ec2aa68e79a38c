"""Layer sequencer: one sequence after the other, layers in order, one direction after the other (batch 1).

The layers of a decoder take turns at every step. The time of a step does not depend on what ran before it, so they are
simulated one layer after the other, with the weights of all of them on chip. That takes the same time and fewer events.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import simpy

from archsim.activity import ActivityRecord
from archsim.engine.environment import Engine
from archsim.engine.probe import Probe
from archsim.engine.trace_events import Busy, PassDone, StepDone, Waited
from archsim.kernels.arrays import I64, U8, row_lists
from archsim.sim import waits
from archsim.sim.items import PassSegment, PassWork, Products, WeightGroup
from archsim.sim.machines.machine import Compute
from archsim.sim.memory.intermediate_memory import IntermediateMemory
from archsim.sim.memory.weight_buffers import WeightBuffers
from archsim.sim.units.unit import ProcessGenerator

SEQUENCER = "sequencer"
"""Name of the sequencer, as of a unit."""
MACHINE = "machine"
"""Name of all units together, where they wait as one."""


class Sequencer:
    """Process that runs the passes of a trace, each when its weights and inputs are on chip."""

    def __init__(
        self,
        env: Engine,
        activity: ActivityRecord,
        *,
        groups: Sequence[WeightGroup],
        compute: Compute,
        saving: str,
        weights: WeightBuffers,
        sequences: IntermediateMemory,
        clock_period_ps: int,
        probe: Probe,
    ) -> None:
        self.env = env
        self.activity = activity
        self.groups = groups
        self.compute = compute
        self.weights = weights
        self.sequences = sequences
        self.clock_period_ps = clock_period_ps
        self.probe = probe
        self.saving = saving
        self.pass_start_ps = 0
        self.done = env.process(self.run())

    def run(self) -> ProcessGenerator:
        """Run the whole trace."""
        n_sequences, last_group = self.activity.n_sequences, len(self.groups) - 1
        for _ in range(n_sequences):
            yield from self._wait_for(self.sequences.loaded.arrival(), waits.INPUTS)
            sequence = self.sequences.loaded.take()
            spills: list[simpy.Event] = []
            for position, group in enumerate(self.groups):
                if self._begins_layer(position):
                    layers = dict.fromkeys(segment.shape.layer for segment in group)
                    spills = [spill for layer in layers for spill in self.sequences.spill(layer, sequence)]
                yield from self._wait_for(self.weights.acquire(position), waits.WEIGHTS)
                if position < last_group or sequence + 1 < n_sequences:
                    self.weights.prefetch(position)
                for segment in group:
                    yield from self._run_segment(sequence, segment)
                if spills and (position == last_group or self._begins_layer(position + 1)):
                    yield from self._wait_for(self.env.all_of(spills), waits.SPILLS)
            self.sequences.store(sequence)
        yield from self._wait_for(self.sequences.all_stored(), waits.OUTPUTS)

    def _begins_layer(self, position: int) -> bool:
        return position == 0 or self.groups[position - 1][-1].shape.layer != self.groups[position][0].shape.layer

    def _wait_for(self, event: simpy.Event, reason: str) -> ProcessGenerator:
        """Wait for an event with all units, and emit the time waited."""
        since_ps = self.env.now_ps
        value = yield event
        if self.env.now_ps > since_ps:
            self.probe.emit(Waited, unit=MACHINE, reason=reason, time_ps=self.env.now_ps - since_ps)
        return value

    def _run_segment(self, sequence: int, segment: PassSegment) -> ProcessGenerator:
        # Memories finish at any picosecond, so the units start at the next edge of their clock.
        yield self.env.timeout(-self.env.now_ps % self.clock_period_ps)
        bits = self.activity.pass_bits(sequence, *segment.shape.pass_key)
        # The half with the inputs evaluates every neuron, because reuse is decided in the recurrent half.
        if segment.products is Products.INPUTS:
            bits = np.broadcast_to(np.uint8(0), bits.shape)
        work = PassWork(sequence, segment, bits, self.weights.streams[segment])
        start_ps = self.env.now_ps
        if segment.products is not Products.RECURRENT:
            self.pass_start_ps = start_ps
        ends = yield from self.compute.run_pass(work, fills=self.weights.fills_under_way > 0)
        what = f"{segment.label}, sequence {sequence}"
        self.probe.emit(Busy, unit=SEQUENCER, what=what, start_ps=start_ps, end_ps=self.env.now_ps)
        if self.probe.wants_spans:
            self._emit_steps(what, bits, segment, start_ps, ends)
        if segment.updates_cells:
            # Step ends count from S_0 of the whole pass, which is the start of its first half.
            before = (start_ps - self.pass_start_ps) // self.clock_period_ps
            layer, direction = segment.shape.pass_key
            self.probe.emit(
                PassDone, sequence=sequence, layer=layer, direction=direction, step_end_cycles=ends + before
            )

    def _emit_steps(self, what: str, bits: U8, segment: PassSegment, start_ps: int, ends: I64) -> None:
        ends_ps = start_ps + ends * self.clock_period_ps
        saved = np.bitwise_count(bits).sum(axis=1)
        begin_ps = start_ps
        for t, (end_ps, n_saved) in enumerate(zip(row_lists(ends_ps), row_lists(saved), strict=True)):
            self.probe.emit(
                StepDone,
                what=f"{what}, step {t}",
                saving=self.saving,
                saved=n_saved,
                of=segment.shape.bits_per_step(self.activity.kind),
                start_ps=begin_ps,
                end_ps=end_ps,
            )
            begin_ps = end_ps
