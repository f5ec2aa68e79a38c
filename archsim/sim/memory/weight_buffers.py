"""Weight buffers of all computation units, filled group by group (SEMANTICS 2.3).

Each unit holds one gate, and the gates of a pass need the same number of bytes, so one model stands for all buffers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import simpy

from archsim.config.arch import ArchSpec
from archsim.engine.environment import Engine
from archsim.engine.probe import Probe
from archsim.engine.trace_events import Busy
from archsim.sim.actions import emit_actions, weight_fill
from archsim.sim.items import PassSegment, StreamedRows, WeightGroup
from archsim.sim.memory.dram import FillTarget, MainMemory, Requester
from archsim.sim.units.unit import ProcessGenerator
from archsim.units import ceil_div

MAGNITUDE_BITS = 15
"""Bits left of a binary16 weight whose sign lies in the sign bank."""


class WeightBuffers:
    """Groups whose weights are on chip, fills of the others, and the residents of groups that stream."""

    def __init__(
        self, env: Engine, arch: ArchSpec, groups: Sequence[WeightGroup], *, dram: MainMemory, probe: Probe
    ) -> None:
        self.env = env
        self.arch = arch
        self.groups = groups
        self.dram = dram
        self.probe = probe
        self.capacity_bytes = arch.weight_buffer.capacity_bytes
        # Fills go one after the other: the group needed first is complete before the next one takes any bandwidth.
        self.fill_lock = simpy.Resource(env)
        self.fills_under_way = 0
        self.fill_ends: dict[int, simpy.Event] = {}
        """Groups on chip or being filled, with the event at the end of their fill."""
        self.addresses, self.end_address = _layout(arch, groups)
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
        return sum(min(group_bytes(self.arch, self.groups[p]), self.capacity_bytes) for p in positions)

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
                weights, signs = self._fill_parts(segment)
                fill = weight_fill(self.arch, weights, 8 * signs)
                emit_actions(self.probe, fill, segment.shape.n_gates)
            what = "weights of " + ", ".join(segment.label for segment in group)
            self.probe.emit(Busy, unit="fill", what=what, start_ps=start_ps, end_ps=self.env.now_ps)
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
        return sum(self._fill_parts(segment))

    def _fill_parts(self, segment: PassSegment) -> tuple[int, int]:
        """Return (weight bytes, extra predictor bytes) sent to one computation unit before the segment runs."""
        stream = self.streams[segment]
        if stream is None:
            return segment.weight_bytes, segment.extra_sign_bytes(self.arch) + segment.extra_plane_bytes(self.arch)
        resident = int(stream.resident.sum())
        all_signs = _predictor_bytes(self.arch, segment)
        # Resident weights bring their own signs; the predictor needs those of all rows.
        own_signs = ceil_div(resident * segment.columns, 8)
        return resident * segment.row_bytes, max(0, all_signs - own_signs)

    def _stream(self, segment: PassSegment, group: WeightGroup) -> StreamedRows | None:
        total = group_bytes(self.arch, group)
        if total <= self.capacity_bytes:
            return None
        # Segments that must be on chip together share the buffer in proportion to their weights.
        share = self.capacity_bytes * segment.held_bytes(self.arch) // total
        slots, n_resident = stream_slots(self.arch, segment, share)
        n_units = segment.shape.n_units
        # Resident rows are spread evenly, so that missing rows arrive while resident ones are evaluated.
        resident = np.diff(np.arange(n_units + 1) * n_resident // n_units).astype(np.bool_)
        starts = (self.addresses[segment] + gate * segment.weight_bytes for gate in range(segment.shape.n_gates))
        return StreamedRows(resident, tuple(starts), slots)


def group_bytes(arch: ArchSpec, group: WeightGroup) -> int:
    """Return the bytes of a group's weights in one computation unit."""
    return sum(segment.held_bytes(arch) for segment in group)


def stream_slots(arch: ArchSpec, segment: PassSegment, share_bytes: int) -> tuple[int, int]:
    """Return (slots, resident rows): rows that may be in flight or in use at a time, and rows that stay on chip.

    They are (0, 0) where there is no room for one row. With a memoization unit the signs of all rows stay on chip.
    """
    n_units, signs = segment.shape.n_units, _predictor_bytes(arch, segment)
    # The signs of resident rows are among `signs` already, but a row in a slot arrives with its own.
    magnitudes = ceil_div(segment.columns * MAGNITUDE_BITS, 8) if signs else segment.row_bytes
    slots = min(arch.weight_buffer.stream_rows, (share_bytes - signs) // segment.row_bytes)
    if slots < 1:
        return 0, 0
    return slots, min((share_bytes - signs - slots * segment.row_bytes) // magnitudes, n_units - 1)


def least_stream_bytes(arch: ArchSpec, segment: PassSegment) -> int:
    """Return the least bytes of a weight buffer with which a segment can stream: a row, and all signs."""
    return segment.row_bytes + _predictor_bytes(arch, segment)


def _predictor_bytes(arch: ArchSpec, segment: PassSegment) -> int:
    """Return the bytes of all rows' predictor bits, which share the weight buffer where weights stream."""
    bits = segment.shape.n_units * segment.shape.n_inputs
    return ceil_div(bits, 8) + segment.extra_plane_bytes(arch) if arch.predictor_planes and segment.updates_cells else 0


def _layout(arch: ArchSpec, groups: Sequence[WeightGroup]) -> tuple[dict[PassSegment, int], int]:
    """Return the address of each segment's weights in main memory, and the end of them all."""
    addresses, end = {}, 0
    for group in groups:
        for segment in group:
            addresses[segment] = end
            end += (segment.held_bytes(arch) + segment.extra_plane_bytes(arch)) * segment.shape.n_gates
    return addresses, end
