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
from archsim.sim.items import PassPart, ResidentGroup, Streamed
from archsim.sim.memory.dram import FillTarget, MainMemory, Requester
from archsim.sim.units.unit import Process
from archsim.units import ceil_div

MAGNITUDE_BITS = 15
"""Bits left of a binary16 weight whose sign lies in the sign bank."""


class WeightBuffers:
    """Groups whose weights are on chip, fills of the others, and the residents of groups that stream."""

    def __init__(
        self, env: Engine, arch: ArchSpec, groups: Sequence[ResidentGroup], *, dram: MainMemory, probe: Probe
    ) -> None:
        self.env = env
        self.arch = arch
        self.groups = groups
        self.dram = dram
        self.probe = probe
        self.capacity_bytes = arch.weight_buffer.capacity_bytes
        # Fills go one after the other: the group needed first is complete before the next one takes any bandwidth.
        self.fill_turn = simpy.Resource(env)
        self.fills_under_way = 0
        self.on_chip: dict[int, simpy.Event] = {}
        """Groups on chip or being filled, with the event at the end of their fill."""
        self.addresses, self.end_address = _layout(arch, groups)
        self.streams = {part: self._stream(part, group) for group in groups for part in group}

    def acquire(self, position: int) -> simpy.Event:
        """Return an event at which the weights of group `position` are on chip; evict other groups for it."""
        if position not in self.on_chip:
            self._make_room(position, keep={position})
            self._fetch(position)
        return self.on_chip[position]

    def prefetch(self, running: int) -> None:
        """Fetch the group after `running` meanwhile, if both fit together."""
        following = (running + 1) % len(self.groups)
        if following in self.on_chip or self._bytes_of({running, following}) > self.capacity_bytes:
            return
        self._make_room(following, keep={running, following})
        self._fetch(following)

    def _make_room(self, position: int, keep: set[int]) -> None:
        # Groups run in a fixed cycle, so the one whose turn is furthest off leaves first: others are needed sooner.
        by_turn = sorted(self.on_chip, key=lambda other: (other - position) % len(self.groups), reverse=True)
        for other in by_turn:
            if self._bytes_of({*self.on_chip, position}) <= self.capacity_bytes:
                return
            if other not in keep:
                del self.on_chip[other]

    def _bytes_of(self, positions: set[int]) -> int:
        # A group that streams takes the whole buffer.
        return sum(min(group_bytes(self.arch, self.groups[p]), self.capacity_bytes) for p in positions)

    def _fetch(self, position: int) -> None:
        self.fills_under_way += 1
        self.on_chip[position] = self.env.process(self._fill(position))

    def _fill(self, position: int) -> Process:
        group = self.groups[position]
        with self.fill_turn.request() as turn:
            yield turn
            start_ps = self.env.now_ps
            transfers = [self._fill_part(part) for part in group if self._fill_bytes(part)]
            yield self.env.all_of(transfers)
            for part in group:
                weights, signs = self._fill_parts(part)
                fill = weight_fill(self.arch, weights, 8 * signs)
                emit_actions(self.probe, fill, part.shape.n_gates)
            what = "weights of " + ", ".join(part.label for part in group)
            self.probe.emit(Busy, unit="fill", what=what, start_ps=start_ps, end_ps=self.env.now_ps)
        self.fills_under_way -= 1

    def _fill_part(self, part: PassPart) -> simpy.Event:
        each = self._fill_bytes(part)
        return self.dram.transfer(
            self.addresses[part],
            each * part.shape.n_gates,
            what=f"weights of {part.label}",
            requester=Requester.WEIGHTS,
            target=FillTarget(0, each),
        )

    def _fill_bytes(self, part: PassPart) -> int:
        """Return the bytes sent to one computation unit before the part runs."""
        return sum(self._fill_parts(part))

    def _fill_parts(self, part: PassPart) -> tuple[int, int]:
        """Return (weight bytes, extra predictor bytes) sent to one computation unit before the part runs."""
        stream = self.streams[part]
        if stream is None:
            return part.weight_bytes, part.extra_sign_bytes(self.arch) + part.extra_plane_bytes(self.arch)
        resident = int(stream.resident.sum())
        all_signs = _sign_bytes(self.arch, part)
        # Resident weights bring their own signs; the predictor needs those of all rows.
        own_signs = ceil_div(resident * part.columns, 8)
        return resident * part.row_bytes, max(0, all_signs - own_signs)

    def _stream(self, part: PassPart, group: ResidentGroup) -> Streamed | None:
        total = group_bytes(self.arch, group)
        if total <= self.capacity_bytes:
            return None
        share = self.capacity_bytes * part.held_bytes(self.arch) // total
        slots, n_resident = stream_slots(self.arch, part, share)
        n_units = part.shape.n_units
        # Resident rows are spread evenly, so that missing rows arrive while resident ones are evaluated.
        resident = np.diff(np.arange(n_units + 1) * n_resident // n_units).astype(np.bool_)
        starts = (self.addresses[part] + gate * part.weight_bytes for gate in range(part.shape.n_gates))
        return Streamed(resident, tuple(starts), slots)


def group_bytes(arch: ArchSpec, group: ResidentGroup) -> int:
    """Return the bytes of a group's weights in one computation unit."""
    return sum(part.held_bytes(arch) for part in group)


def stream_slots(arch: ArchSpec, part: PassPart, share_bytes: int) -> tuple[int, int]:
    """Return (slots, resident rows): rows that may be in flight or in use at a time, and rows that stay on chip.

    They are (0, 0) where there is no room for one row. With a memoization unit the signs of all rows stay on chip.
    """
    n_units, signs = part.shape.n_units, _sign_bytes(arch, part)
    magnitudes = ceil_div(part.columns * MAGNITUDE_BITS, 8) if signs else part.row_bytes
    slots = min(arch.weight_buffer.stream_rows, (share_bytes - signs) // part.row_bytes)
    if slots < 1:
        return 0, 0
    return slots, min((share_bytes - signs - slots * part.row_bytes) // magnitudes, n_units - 1)


def least_stream_bytes(arch: ArchSpec, part: PassPart) -> int:
    """Return the least bytes of a weight buffer with which a part can stream: a row, and all signs."""
    return part.row_bytes + _sign_bytes(arch, part)


def _sign_bytes(arch: ArchSpec, part: PassPart) -> int:
    """Return the bytes of all rows' predictor bits, which share the weight buffer where weights stream."""
    bits = part.shape.n_units * part.shape.n_inputs
    return ceil_div(bits, 8) + part.extra_plane_bytes(arch) if arch.predictor_planes and part.updates else 0


def _layout(arch: ArchSpec, groups: Sequence[ResidentGroup]) -> tuple[dict[PassPart, int], int]:
    """Return the address of each part's weights in main memory, and the end of them all."""
    addresses, end = {}, 0
    for group in groups:
        for part in group:
            addresses[part] = end
            end += (part.held_bytes(arch) + part.extra_plane_bytes(arch)) * part.shape.n_gates
    return addresses, end
