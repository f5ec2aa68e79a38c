"""Transfers and their requests: one request per channel touched, first in a backlog, then in the channel's queue."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from archsim.kernels.arrays import I64, Bools
from archsim.kernels.dram.channel import Channels, DramTimes, idle_channels
from archsim.kernels.dram.fill_ports import RECENT_FILLS
from archsim.kernels.jit import inner, outer

TRANSFER, BURST, BURSTS_LEFT, ARRIVAL, ORDER, WRITES, BANK, ROW = FIELDS = range(8)
"""Fields of a request: its transfer, its next burst (numbered within the channel), bursts left, the cycle of arrival,
its rank among requests of that cycle, whether it writes, and the bank and row of its next burst."""
QUEUED, BACKLOG_FROM, BACKLOG_TO, SLOT_FREE_FROM = CURSORS = range(4)
"""Fields of a channel's queue: requests in it, the bounds of the backlog behind it, and the cycle from which it last
had a free slot after being full."""
CHANNELS_LEFT, FINISH_PS, ENTERED_PS, ROW_HIT, ADDRESS, N_BYTES, PORT, PORT_BYTES = COLUMNS = range(8)
"""Fields of a transfer: channels that still serve it, its end, the time its first request entered a queue, whether its
first burst hit an open row, its first address and size, its first fill port, and bytes per port; consecutive ports take
equal shares."""
NO_PORT = -1
ORDER_SHIFT = 40
"""Bits of a request's `order` for the count of submissions, below those for the requester."""


class Memory(NamedTuple):
    """State of the main memory and of the fill ports it writes to; C channels, R ranks, B banks, P ports."""

    channels: Channels
    queue: I64
    """(C, depth, fields) requests that the scheduler sees."""
    age_order: I64
    """(C, depth) slots of the queue: those of its requests, oldest first, then the free ones."""
    backlog: I64
    """(C, n, fields) requests that wait for a slot of the queue, by arrival."""
    cursors: I64
    """(C, 4)."""
    transfers: I64
    """(n, columns)."""
    port_free_at: I64
    """(P,) accelerator cycle from which a fill port is free."""
    fills: I64
    """(P, ring, 2) begin and end of a port's latest fills, in accelerator cycles."""
    n_fills: I64
    """(P,) fills so far."""
    at_hit_limit: Bools
    """(R·B,) scratch space: banks whose row hits the scheduler leaves out."""
    period_ps: int
    """Clock period of the accelerator."""
    word_bytes: int
    """Bytes a fill port writes per cycle."""


def idle_memory(dram_times: DramTimes, *, n_transfers: int, ports: int, period_ps: int, word_bytes: int) -> Memory:
    """Return a memory that can hold `n_transfers` transfers at a time."""
    return Memory(
        channels=idle_channels(dram_times),
        queue=np.zeros((dram_times.channels, dram_times.queue_depth, len(FIELDS)), np.int64),
        age_order=np.tile(np.arange(dram_times.queue_depth), (dram_times.channels, 1)),
        backlog=np.zeros((dram_times.channels, n_transfers, len(FIELDS)), np.int64),
        cursors=np.zeros((dram_times.channels, len(CURSORS)), np.int64),
        transfers=np.zeros((n_transfers, len(COLUMNS)), np.int64),
        port_free_at=np.zeros(ports, np.int64),
        fills=np.zeros((ports, RECENT_FILLS, 2), np.int64),
        n_fills=np.zeros(ports, np.int64),
        at_hit_limit=np.zeros(dram_times.ranks * dram_times.banks, np.bool_),
        period_ps=period_ps,
        word_bytes=word_bytes,
    )


@outer
def submit(memory, dram_times, transfer, address, n_bytes, write, at_ps, order, port, port_bytes):
    """Add a transfer's requests to the backlogs; of requests of one cycle, the smaller `order` is the older."""
    first = address // dram_times.burst_bytes
    end = (address + n_bytes - 1) // dram_times.burst_bytes + 1
    arrival = -(-at_ps // dram_times.cycle_ps)
    memory.transfers[transfer, CHANNELS_LEFT] = 0
    memory.transfers[transfer, FINISH_PS] = at_ps
    memory.transfers[transfer, ENTERED_PS] = -1
    memory.transfers[transfer, ROW_HIT] = -1
    memory.transfers[transfer, ADDRESS] = address
    memory.transfers[transfer, N_BYTES] = n_bytes
    memory.transfers[transfer, PORT] = port
    memory.transfers[transfer, PORT_BYTES] = port_bytes
    for channel in range(dram_times.channels):
        own_first, own_end = _bursts_below(first, channel, dram_times), _bursts_below(end, channel, dram_times)
        if own_end > own_first:
            memory.transfers[transfer, CHANNELS_LEFT] += 1
            position = _backlog_position(memory, channel, arrival, order)
            memory.backlog[channel, position, TRANSFER] = transfer
            memory.backlog[channel, position, BURST] = own_first
            memory.backlog[channel, position, BURSTS_LEFT] = own_end - own_first
            memory.backlog[channel, position, ARRIVAL] = arrival
            memory.backlog[channel, position, ORDER] = order
            memory.backlog[channel, position, WRITES] = write
            decode_address(memory.backlog, channel, position, dram_times)


@outer
def submit_all(memory, dram_times, addresses, n_bytes, write, at_ps):
    """Submit one transfer per address, in the order given, which must be that of arrival."""
    for transfer in range(addresses.size):
        submit(memory, dram_times, transfer, addresses[transfer], n_bytes, write, at_ps[transfer], transfer, NO_PORT, 0)


@inner
def _bursts_below(end, channel, dram_times):
    """Return the number of bursts below burst `end` that lie in a channel."""
    # A stripe, one row of every bank, goes to one channel; the next stripe goes to the next channel.
    stripe = dram_times.ranks * dram_times.banks * dram_times.row_bursts
    rounds, rest = end // (stripe * dram_times.channels), end % (stripe * dram_times.channels)
    return rounds * stripe + min(max(rest - channel * stripe, 0), stripe)


@inner
def _backlog_position(memory, channel, arrival, order):
    """Make room in the backlog behind all older requests; return the position."""
    backlog, cursors = memory.backlog, memory.cursors
    if cursors[channel, BACKLOG_TO] == backlog.shape[1]:
        start, n = cursors[channel, BACKLOG_FROM], cursors[channel, BACKLOG_TO] - cursors[channel, BACKLOG_FROM]
        for position in range(n):
            copy_request(backlog, channel, start + position, backlog, position)
        cursors[channel, BACKLOG_FROM], cursors[channel, BACKLOG_TO] = 0, n
    position = cursors[channel, BACKLOG_TO]
    while position > cursors[channel, BACKLOG_FROM]:
        before = backlog[channel, position - 1, ARRIVAL]
        if before < arrival or (before == arrival and backlog[channel, position - 1, ORDER] <= order):
            break
        copy_request(backlog, channel, position - 1, backlog, position)
        position -= 1
    cursors[channel, BACKLOG_TO] += 1
    return position


@inner
def copy_request(source, channel, position, target, new_position):
    """Copy a request of a channel to another position of the same or another table."""
    for field in range(source.shape[2]):
        target[channel, new_position, field] = source[channel, position, field]


@inner
def decode_address(requests, channel, position, dram_times):
    """Note the bank and row of a request's next burst."""
    # Address bits from the top: row, (channel,) rank, bank, column. Streams thus visit all banks before a second row.
    row_index, banks = requests[channel, position, BURST] // dram_times.row_bursts, dram_times.ranks * dram_times.banks
    requests[channel, position, BANK], requests[channel, position, ROW] = row_index % banks, row_index // banks
