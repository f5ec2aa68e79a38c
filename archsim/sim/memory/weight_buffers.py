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
from archsim.sim.items import PassSegment, StreamedRows, WeightGroup
from archsim.sim.machines.machine import Machine
from archsim.sim.memory.dram import FillTarget, MainMemory, Requester
from archsim.sim.units.unit import ProcessGenerator
from archsim.units import ceil_div

FILL = "fill"
"""Name of the fills of all weight buffers, as of a unit, in timelines."""


class WeightBuffers:
    """Weight buffers of a machine: groups on chip, fills in flight, and rows that stay while a group streams."""

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
            return segment.weight_bytes + segment.projection_bytes, predictor.other_signs + predictor.planes
        resident = int(stream.resident.sum())
        # Resident weights bring their own signs; the predictor needs those of all rows.
        own_signs = ceil_div(resident * segment.columns, 8)
        return resident * segment.row_bytes + segment.projection_bytes, max(0, predictor.streamed - own_signs)

    def _stream(self, segment: PassSegment, group: WeightGroup) -> StreamedRows | None:
        total = group_bytes(self.machine, self.arch, group)
        if total <= self.capacity_bytes:
            return None
        # Segments that must be on chip together share the buffer in proportion to their weights.
        share = self.capacity_bytes * resident_bytes(self.machine, self.arch, segment) // total
        slots, n_resident = stream_slots(self.machine, self.arch, segment, share)
        n_units = segment.shape.n_units
        # Resident rows are spread evenly, so that missing rows arrive while resident ones are evaluated.
        resident = np.diff(np.arange(n_units + 1) * n_resident // n_units).astype(np.bool_)
        starts = (self.addresses[segment] + gate * segment.weight_bytes for gate in range(segment.shape.n_gates))
        return StreamedRows(resident, tuple(starts), slots)


def resident_bytes(machine: Machine, arch: ArchSpec, segment: PassSegment) -> int:
    """Return the bytes that hold all of a segment in the weight buffer of one computation unit.

    Planes beyond the signs lie in banks of their own, outside the buffer (D32).
    """
    return segment.weight_bytes + segment.projection_bytes + machine.predictor_bytes(arch, segment).other_signs


def group_bytes(machine: Machine, arch: ArchSpec, group: WeightGroup) -> int:
    """Return the bytes that hold all of a group in the weight buffer of one computation unit."""
    return sum(resident_bytes(machine, arch, segment) for segment in group)


def stream_slots(machine: Machine, arch: ArchSpec, segment: PassSegment, share_bytes: int) -> tuple[int, int]:
    """Return (slots, resident rows): rows that may be in flight or in use at a time, and rows that stay on chip.

    They are (0, 0) where there is no room for one row. The predictor's bits of all rows stay on chip, as does a
    projection.
    """
    share_bytes -= segment.projection_bytes
    n_units, predicted = segment.shape.n_units, machine.predictor_bytes(arch, segment).streamed
    # A resident row adds only magnitudes, because its signs are in `predicted`; a row in a slot is stored whole.
    magnitudes = ceil_div(segment.columns * (segment.numbers.weight_bits - 1), 8) if predicted else segment.row_bytes
    slots = min(arch.weight_buffer.stream_rows, (share_bytes - predicted) // segment.row_bytes)
    if slots < 1:
        return 0, 0
    return slots, min((share_bytes - predicted - slots * segment.row_bytes) // magnitudes, n_units - 1)


def least_stream_bytes(machine: Machine, arch: ArchSpec, segment: PassSegment) -> int:
    """Return the least bytes of a weight buffer with which a segment can stream: a row, and all that stays on chip."""
    return segment.row_bytes + segment.projection_bytes + machine.predictor_bytes(arch, segment).streamed


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
            weights = segment.weight_bytes + segment.projection_bytes
            end += (weights + predictor.other_signs + predictor.planes + predictor.constants) * segment.shape.n_gates
    return _Layout(addresses, end)
