"""Weight buffers of all computation units, filled group by group (SEMANTICS 2.3).

Each unit holds one gate, and the gates of a pass need the same number of bytes, so one model stands for all buffers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import simpy

from archsim.config.arch import ArchSpec
from archsim.engine.environment import Engine
from archsim.engine.probe import Probe
from archsim.engine.trace_events import Busy
from archsim.sim.actions import emit_actions, sequence_load
from archsim.sim.items import PassSegment, StreamedWeights, WeightGroup
from archsim.sim.machines.machine import Machine
from archsim.sim.memory.dram import FillTarget, MainMemory, Requester
from archsim.sim.units.unit import ProcessGenerator
from archsim.units import ceil_div

FILL = "fill"
"""Name of the fills of all weight buffers, as of a unit, in timelines."""


class WeightBuffers:
    """Weight buffers of a machine: groups on chip, fills in flight, and what stays while a group streams."""

    def __init__(
        self,
        env: Engine,
        machine: Machine,
        arch: ArchSpec,
        groups: Sequence[WeightGroup],
        *,
        dram: MainMemory,
        probe: Probe,
    ) -> None:
        self.env = env
        self.machine = machine
        self.arch = arch
        self.groups = groups
        self.dram = dram
        self.probe = probe
        self.capacity_bytes = arch.weight_buffer.capacity_bytes
        # Fills go one after the other: the group needed first is complete before the next one takes any bandwidth.
        self.fill_lock = simpy.Resource(env)
        self.fills_under_way = 0
        self.fill_ends: dict[int, simpy.Event] = {}
        """End of the fill of each group that is on chip or on its way."""
        layout = _layout(machine, arch, groups)
        self.addresses = layout.addresses
        self.end_address = layout.end
        self.streams = {segment: self._stream(segment, group) for group in groups for segment in group}

    def acquire(self, position: int) -> simpy.Event:
        """Return an event at which the weights of group `position` are on chip; evict other groups for it."""
        if position not in self.fill_ends:
            self._make_room(position, keep={position})
            self._fetch(position)
        return self.fill_ends[position]

    def prefetch(self, running: int) -> None:
        """Fetch the group after `running` meanwhile, if both fit together."""
        # After the last group comes the first one, for the next sequence.
        following = (running + 1) % len(self.groups)
        if following in self.fill_ends or self._bytes_of({running, following}) > self.capacity_bytes:
            return
        self._make_room(following, keep={running, following})
        self._fetch(following)

    def _make_room(self, position: int, keep: set[int]) -> None:
        # Groups run in a fixed cycle, so the one whose turn is furthest off leaves first: others are needed sooner.
        by_turn = sorted(self.fill_ends, key=lambda other: (other - position) % len(self.groups), reverse=True)
        for other in by_turn:
            if self._bytes_of({*self.fill_ends, position}) <= self.capacity_bytes:
                return
            # Weights are never modified, so a group leaves without being written back.
            if other not in keep:
                del self.fill_ends[other]

    def _bytes_of(self, positions: set[int]) -> int:
        # A group that streams takes the whole buffer.
        return sum(min(group_bytes(self.machine, self.arch, self.groups[p]), self.capacity_bytes) for p in positions)

    def _fetch(self, position: int) -> None:
        self.fills_under_way += 1
        self.fill_ends[position] = self.env.process(self._fill(position))

    def _fill(self, position: int) -> ProcessGenerator:
        group = self.groups[position]
        with self.fill_lock.request() as turn:
            yield turn
            start_ps = self.env.now_ps
            transfers = [self._fill_segment(segment) for segment in group if self._fill_bytes(segment)]
            yield self.env.all_of(transfers)
            for segment in group:
                weights, extra = self._fill_parts(segment)
                fill = self.machine.fill_actions(self.arch, weights, 8 * extra)
                emit_actions(self.probe, fill, segment.shape.n_gates)
                constants = sequence_load(self.arch, self._constant_bytes(segment))
                emit_actions(self.probe, constants, segment.shape.n_gates)
            what = "weights of " + ", ".join(segment.label for segment in group)
            self.probe.emit(Busy, unit=FILL, what=what, start_ps=start_ps, end_ps=self.env.now_ps)
        self.fills_under_way -= 1

    def _fill_segment(self, segment: PassSegment) -> simpy.Event:
        each = self._fill_bytes(segment)
        return self.dram.transfer(
            self.addresses[segment],
            each * segment.shape.n_gates,
            what=f"weights of {segment.label}",
            requester=Requester.WEIGHTS,
            target=FillTarget(0, each),
        )

    def _fill_bytes(self, segment: PassSegment) -> int:
        """Return the bytes sent to one computation unit before the segment runs."""
        return sum(self._fill_parts(segment)) + self._constant_bytes(segment)

    def _constant_bytes(self, segment: PassSegment) -> int:
        """Return the bytes of constants of inputs for one computation unit, which go to intermediate memory."""
        return self.machine.predictor_bytes(self.arch, segment).constants

    def _fill_parts(self, segment: PassSegment) -> tuple[int, int]:
        """Return (weight bytes, extra predictor bytes) sent to one computation unit before the segment runs."""
        stream = self.streams[segment]
        predictor = self.machine.predictor_bytes(self.arch, segment)
        if stream is None:
            weights = self.machine.weight_vectors(segment).total_bytes + segment.projection_bytes
            return weights, predictor.other_signs + predictor.planes + predictor.tail
        resident = int(stream.resident.sum())
        # Resident weights bring their own signs; the predictor needs those of all rows.
        own_signs = ceil_div(resident * segment.columns, 8)
        extra = max(0, predictor.streamed - own_signs) + predictor.tail
        return resident * stream.each_bytes + segment.projection_bytes, extra

    def _stream(self, segment: PassSegment, group: WeightGroup) -> StreamedWeights | None:
        total = group_bytes(self.machine, self.arch, group)
        if total <= self.capacity_bytes:
            return None
        # Segments that must be on chip together share the buffer in proportion to their weights.
        share = self.capacity_bytes * resident_bytes(self.machine, self.arch, segment) // total
        slots, n_resident = stream_slots(self.machine, self.arch, segment, share)
        vectors = self.machine.weight_vectors(segment)
        # Resident vectors are spread evenly, so that missing ones arrive while resident ones are in use.
        resident = np.diff(np.arange(vectors.number + 1) * n_resident // vectors.number).astype(np.bool_)
        starts = (self.addresses[segment] + gate * vectors.total_bytes for gate in range(segment.shape.n_gates))
        return StreamedWeights(resident, tuple(starts), vectors.each_bytes, slots)


def resident_bytes(machine: Machine, arch: ArchSpec, segment: PassSegment) -> int:
    """Return the bytes that hold all of a segment in the weight buffer of one computation unit.

    Planes beyond the signs lie in banks of their own, outside the buffer (D32).
    """
    weights = machine.weight_vectors(segment).total_bytes + segment.projection_bytes
    return weights + machine.predictor_bytes(arch, segment).other_signs


def group_bytes(machine: Machine, arch: ArchSpec, group: WeightGroup) -> int:
    """Return the bytes that hold all of a group in the weight buffer of one computation unit."""
    return sum(resident_bytes(machine, arch, segment) for segment in group)


def stream_slots(machine: Machine, arch: ArchSpec, segment: PassSegment, share_bytes: int) -> tuple[int, int]:
    """Return (slots, resident vectors): rows or columns that may be in flight or in use, and those that stay on chip.

    They are (0, 0) where there is no room for one. The predictor's bits of all rows stay on chip, as does a
    projection.
    """
    share_bytes -= segment.projection_bytes
    number, each_bytes = machine.weight_vectors(segment)
    predicted = machine.predictor_bytes(arch, segment).streamed
    # A resident row adds only magnitudes, because its signs are in `predicted`; a row in a slot is stored whole.
    magnitudes = ceil_div(segment.columns * (segment.numbers.weight_bits - 1), 8) if predicted else each_bytes
    slots = min(arch.weight_buffer.stream_rows, (share_bytes - predicted) // each_bytes)
    if slots < 1:
        return 0, 0
    return slots, min((share_bytes - predicted - slots * each_bytes) // magnitudes, number - 1)


def least_stream_bytes(machine: Machine, arch: ArchSpec, segment: PassSegment) -> int:
    """Return the least bytes of a weight buffer in which a segment can stream: a row or column, and all that stays."""
    each_bytes = machine.weight_vectors(segment).each_bytes
    return each_bytes + segment.projection_bytes + machine.predictor_bytes(arch, segment).streamed


def least_group_bytes(machine: Machine, arch: ArchSpec, group: WeightGroup) -> int:
    """Return the smallest weight buffer in which a group can run: for all of it, or less where it can stream."""
    total = group_bytes(machine, arch, group)
    # A segment gets a share of the buffer in proportion to its bytes, and its share must hold its least.
    least = (
        ceil_div(least_stream_bytes(machine, arch, segment) * total, resident_bytes(machine, arch, segment))
        for segment in group
    )
    return min(total, max(least))


class _Layout(NamedTuple):
    """Addresses in main memory of each segment's weights, and the end of them all."""

    addresses: dict[PassSegment, int]
    end: int


def _layout(machine: Machine, arch: ArchSpec, groups: Sequence[WeightGroup]) -> _Layout:
    """Lay out the weights and predictor bits of all segments in main memory, one after the other."""
    addresses, end = {}, 0
    for group in groups:
        for segment in group:
            addresses[segment] = end
            predictor = machine.predictor_bytes(arch, segment)
            weights = machine.weight_vectors(segment).total_bytes + segment.projection_bytes
            beside = predictor.other_signs + predictor.planes + predictor.tail + predictor.constants
            end += (weights + beside) * segment.shape.n_gates
    return _Layout(addresses, end)
