"""Transfers and the requests they are made of: a bounded queue per channel, and a backlog behind it."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from archsim.kernels.arrays import I64, Bools
from archsim.kernels.dram.channel import Channels, DramTimes, idle_channels
from archsim.kernels.dram.fill_ports import LATEST
from archsim.kernels.jit import inner, outer

TRANSFER, BURST, LEFT, ARRIVAL, ORDER, WRITES, BANK, ROW = FIELDS = range(8)
"""A request: its transfer, next burst (in the channel's own count), bursts left, cycle of arrival, place among
requests of that cycle, whether it writes, and the bank and row of its next burst."""
QUEUED, BACKLOG_FROM, BACKLOG_TO, ROOM_FROM = CURSORS = range(4)
"""A channel's queue: requests in it, the backlog behind it, and when it last had a place again after being full."""
PARTS, FINISH_PS, ENTERED_PS, ROW_HIT, ADDRESS, N_BYTES, PORT, PORT_BYTES = COLUMNS = range(8)
"""A transfer: channels still at it, when it was done, when its first request had a place in the queue, whether its
first burst found its row open, where it begins and how much it is, and the ports it is written through: so many
bytes through the first, as many through the next, and so on."""
NO_PORT = -1


class Memory(NamedTuple):
    """Everything about the main memory that changes, and the write ports of the weight buffers it fills."""

    channels: Channels
    queue: I64
    """(C, depth, fields) what the scheduler sees."""
    age_order: I64
    """(C, depth) the queue's places: of its requests, from the oldest on, then the free ones."""
    backlog: I64
    """(C, n, fields) what waits for a place in the queue, by arrival."""
    cursors: I64
    """(C, 4)."""
    transfers: I64
    """(n, columns)."""
    port_free_at: I64
    """(P,) the cycle of the accelerator a port is free from."""
    windows: I64
    """(P, ring, 2) begin and end of a port's latest writes, in cycles of the accelerator."""
    n_windows: I64
    """(P,) writes so far."""
    passed_over: Bools
    """(R·B,) room for the scheduler to note banks in."""
    period_ps: int
    word_bytes: int
    """Of the accelerator's clock, and of a port."""


def idle_memory(times: DramTimes, *, n_transfers: int, ports: int, period_ps: int, word_bytes: int) -> Memory:
    """A memory with room for so many transfers at a time."""
    return Memory(
        channels=idle_channels(times),
        queue=np.zeros((times.channels, times.queue_depth, len(FIELDS)), np.int64),
        age_order=np.tile(np.arange(times.queue_depth), (times.channels, 1)),
        backlog=np.zeros((times.channels, n_transfers, len(FIELDS)), np.int64),
        cursors=np.zeros((times.channels, len(CURSORS)), np.int64),
        transfers=np.zeros((n_transfers, len(COLUMNS)), np.int64),
        port_free_at=np.zeros(ports, np.int64),
        windows=np.zeros((ports, LATEST, 2), np.int64),
        n_windows=np.zeros(ports, np.int64),
        passed_over=np.zeros(times.ranks * times.banks, np.bool_),
        period_ps=period_ps,
        word_bytes=word_bytes,
    )


@outer
def submit(memory, times, transfer, address, n_bytes, write, at_ps, order, port, port_bytes):
    """Put a transfer behind all that has arrived before; `order` is that of transfers of one cycle."""
    first = address // times.burst_bytes
    end = (address + n_bytes - 1) // times.burst_bytes + 1
    arrival = -(-at_ps // times.cycle_ps)
    memory.transfers[transfer, PARTS] = 0
    memory.transfers[transfer, FINISH_PS] = at_ps
    memory.transfers[transfer, ENTERED_PS] = -1
    memory.transfers[transfer, ROW_HIT] = -1
    memory.transfers[transfer, ADDRESS] = address
    memory.transfers[transfer, N_BYTES] = n_bytes
    memory.transfers[transfer, PORT] = port
    memory.transfers[transfer, PORT_BYTES] = port_bytes
    for channel in range(times.channels):
        own_first, own_end = _own_bursts(first, channel, times), _own_bursts(end, channel, times)
        if own_end > own_first:
            memory.transfers[transfer, PARTS] += 1
            place = _place_in_backlog(memory, channel, arrival, order)
            memory.backlog[channel, place, TRANSFER] = transfer
            memory.backlog[channel, place, BURST] = own_first
            memory.backlog[channel, place, LEFT] = own_end - own_first
            memory.backlog[channel, place, ARRIVAL] = arrival
            memory.backlog[channel, place, ORDER] = order
            memory.backlog[channel, place, WRITES] = write
            aim(memory.backlog, channel, place, times)


@outer
def submit_all(memory, times, addresses, n_bytes, write, at_ps):
    """Put one transfer per address behind all others, in order of arrival."""
    for transfer in range(addresses.size):
        submit(memory, times, transfer, addresses[transfer], n_bytes, write, at_ps[transfer], transfer, NO_PORT, 0)


@inner
def _own_bursts(end, channel, times):
    """How many of the bursts below `end` are a channel's: stripes of all its banks' rows go round."""
    stripe = times.ranks * times.banks * times.row_bursts
    rounds, rest = end // (stripe * times.channels), end % (stripe * times.channels)
    return rounds * stripe + min(max(rest - channel * stripe, 0), stripe)


@inner
def _place_in_backlog(memory, channel, arrival, order):
    """Make room behind all that arrived before, and return the place."""
    backlog, cursors = memory.backlog, memory.cursors
    if cursors[channel, BACKLOG_TO] == backlog.shape[1]:
        start, n = cursors[channel, BACKLOG_FROM], cursors[channel, BACKLOG_TO] - cursors[channel, BACKLOG_FROM]
        for place in range(n):
            copy_request(backlog, channel, start + place, backlog, place)
        cursors[channel, BACKLOG_FROM], cursors[channel, BACKLOG_TO] = 0, n
    place = cursors[channel, BACKLOG_TO]
    while place > cursors[channel, BACKLOG_FROM]:
        before = backlog[channel, place - 1, ARRIVAL]
        if before < arrival or (before == arrival and backlog[channel, place - 1, ORDER] <= order):
            break
        copy_request(backlog, channel, place - 1, backlog, place)
        place -= 1
    cursors[channel, BACKLOG_TO] += 1
    return place


@inner
def copy_request(source, channel, place, target, new_place):
    """Copy a request from one place of a channel to another."""
    for field in range(source.shape[2]):
        target[channel, new_place, field] = source[channel, place, field]


@inner
def aim(requests, channel, place, times):
    """Note a request's bank and row. Address bits from the top: row, (channel,) rank, bank, column."""
    piece, banks = requests[channel, place, BURST] // times.row_bursts, times.ranks * times.banks
    requests[channel, place, BANK], requests[channel, place, ROW] = piece % banks, piece // banks
