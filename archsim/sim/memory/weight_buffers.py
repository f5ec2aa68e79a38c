"""The weight buffers of all computation units, filled group by group (SEMANTICS 2.3).

The units hold the same number of bytes of each pass, one gate each, so they are kept as one ledger.
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

BITS_OF_MAGNITUDE = 15
"""Of a binary16 weight whose sign lies in the sign bank."""


class WeightBuffers:
    """Which groups' weights are on chip, the transfers that bring in the others, and what has to stream."""

    def __init__(
        self, env: Engine, arch: ArchSpec, groups: Sequence[ResidentGroup], *, dram: MainMemory, probe: Probe
    ) -> None:
        self.env, self.arch, self.groups, self.dram, self.probe = env, arch, groups, dram, probe
        self.capacity_bytes = arch.weight_buffer.capacity_bytes
        self.fill_slot = simpy.Resource(env)
        self.fills_under_way = 0
        self.held: dict[int, simpy.Event] = {}
        """Groups on chip or on their way, and the event of their arrival."""
        self.addresses, self.end_address = _layout(arch, groups)
        self.streams = {part: self._stream(part, group) for group in groups for part in group}

    def acquire(self, position: int) -> simpy.Event:
        """An event that fires when the weights of group `position` are on chip; others may have to leave."""
        if position not in self.held:
            self._make_room(position, keep={position})
            self._fetch(position)
        return self.held[position]

    def prefetch(self, running: int) -> None:
        """Fetch the group after `running` while it runs, if both fit together."""
        following = (running + 1) % len(self.groups)
        if following in self.held or self._bytes_of({running, following}) > self.capacity_bytes:
            return
        self._make_room(following, keep={running, following})
        self._fetch(following)

    def _make_room(self, position: int, keep: set[int]) -> None:
        # Groups come round in a fixed order: the one whose turn is furthest off leaves first.
        by_turn = sorted(self.held, key=lambda other: (other - position) % len(self.groups), reverse=True)
        for other in by_turn:
            if self._bytes_of({*self.held, position}) <= self.capacity_bytes:
                return
            if other not in keep:
                del self.held[other]

    def _bytes_of(self, positions: set[int]) -> int:
        # A group that streams takes all there is.
        return sum(min(group_bytes(self.arch, self.groups[p]), self.capacity_bytes) for p in positions)

    def _fetch(self, position: int) -> None:
        self.fills_under_way += 1
        self.held[position] = self.env.process(self._fill(position))

    def _fill(self, position: int) -> Process:
        group = self.groups[position]
        with self.fill_slot.request() as turn:
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
        """What a computation unit is sent before the part runs."""
        return sum(self._fill_parts(part))

    def _fill_parts(self, part: PassPart) -> tuple[int, int]:
        """That in bytes of weights, and of bits for the predictor that do not come along with them."""
        stream = self.streams[part]
        if stream is None:
            return part.weight_bytes, part.extra_sign_bytes(self.arch) + part.extra_plane_bytes(self.arch)
        resident = int(stream.resident.sum())
        all_signs = _sign_bytes(self.arch, part)
        come_along = ceil_div(resident * part.columns, 8)
        return resident * part.row_bytes, max(0, all_signs - come_along)

    def _stream(self, part: PassPart, group: ResidentGroup) -> Streamed | None:
        total = group_bytes(self.arch, group)
        if total <= self.capacity_bytes:
            return None
        share = self.capacity_bytes * part.held_bytes(self.arch) // total
        slots, n_resident = stream_slots(self.arch, part, share)
        n_units = part.shape.n_units
        # Spread evenly, so that rows arrive while others are evaluated.
        resident = np.diff(np.arange(n_units + 1) * n_resident // n_units).astype(np.bool_)
        starts = (self.addresses[part] + gate * part.weight_bytes for gate in range(part.shape.n_gates))
        return Streamed(resident, tuple(starts), slots)


def group_bytes(arch: ArchSpec, group: ResidentGroup) -> int:
    """What a group's weights take in one computation unit."""
    return sum(part.held_bytes(arch) for part in group)


def stream_slots(arch: ArchSpec, part: PassPart, share_bytes: int) -> tuple[int, int]:
    """Rows that may be on their way or in use at a time, and rows that stay; no room for one is (0, 0) or less.

    With a memoization unit the signs of all rows stay, whatever happens to their magnitudes.
    """
    n_units, signs = part.shape.n_units, _sign_bytes(arch, part)
    magnitudes = ceil_div(part.columns * BITS_OF_MAGNITUDE, 8) if signs else part.row_bytes
    slots = min(arch.weight_buffer.stream_rows, (share_bytes - signs) // part.row_bytes)
    if slots < 1:
        return 0, 0
    return slots, min((share_bytes - signs - slots * part.row_bytes) // magnitudes, n_units - 1)


def least_stream_bytes(arch: ArchSpec, part: PassPart) -> int:
    """Bytes of a weight buffer with which a part can just stream: a row, and the signs that stay."""
    return part.row_bytes + _sign_bytes(arch, part)


def _sign_bytes(arch: ArchSpec, part: PassPart) -> int:
    """Bits of all rows for the predictor; where weights stream, none of them has a place of its own."""
    bits = part.shape.n_units * part.shape.n_inputs
    return ceil_div(bits, 8) + part.extra_plane_bytes(arch) if arch.fmu and part.updates else 0


def _layout(arch: ArchSpec, groups: Sequence[ResidentGroup]) -> tuple[dict[PassPart, int], int]:
    """Where each part's weights lie in main memory, and where they end."""
    addresses, end = {}, 0
    for group in groups:
        for part in group:
            addresses[part] = end
            end += (part.held_bytes(arch) + part.extra_plane_bytes(arch)) * part.shape.n_gates
    return addresses, end
