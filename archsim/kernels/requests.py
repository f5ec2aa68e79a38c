"""The scheduler in front of the channels: a bounded queue, first ready first come, and a backlog behind it.

A transfer is one request per channel; of a request one row's worth is served at a time. That is exact as long
as nothing can interrupt a burst of row hits, and makes the streaming of megabytes cheap.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from archsim.kernels.arrays import I64, Bools
from archsim.kernels.banks import (
    HITS,
    NEVER,
    OPEN_ROW,
    REFRESH_AT,
    Channels,
    DramTimes,
    activate_row,
    be_active,
    idle_channels,
    plan,
    refresh_rank,
    stand_by,
    transfer_bursts,
)
from archsim.kernels.jit import inner, outer

TRANSFER, BURST, LEFT, ARRIVAL, RANK, WRITES, BANK, ROW = FIELDS = range(8)
"""A request: its transfer, next burst (in the channel's own count), bursts left, cycle of arrival, place among
requests of that cycle, whether it writes, and the bank and row of its next burst."""
QUEUED, BACKLOG_FROM, BACKLOG_TO, ROOM_FROM = CURSORS = range(4)
"""A channel's queue: requests in it, the backlog behind it, and when it last had a place again after being full."""
PARTS, FINISH_PS, ENTERED_PS, ROW_HIT, ADDRESS, N_BYTES, PORT, PORT_BYTES = COLUMNS = range(8)
"""A transfer: channels still at it, when it was done, when its first request had a place in the queue, whether its
first burst found its row open, where it begins and how much it is, and the ports it is written through: so many
bytes through the first, as many through the next, and so on."""
NO_PORT = -1
LATEST = 1024
"""Writes a port remembers."""


class Memory(NamedTuple):
    """Everything about the main memory that changes, and the write ports of the weight buffers it fills."""

    channels: Channels
    queue: I64
    """(C, depth, fields) what the scheduler sees."""
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
def submit(memory, times, transfer, address, n_bytes, write, at_ps, rank, port, port_bytes):  # type: ignore[no-untyped-def]
    """Put a transfer behind all that has arrived before; `rank` orders transfers of one cycle."""
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
            place = _place_in_backlog(memory, channel, arrival, rank)
            memory.backlog[channel, place, TRANSFER] = transfer
            memory.backlog[channel, place, BURST] = own_first
            memory.backlog[channel, place, LEFT] = own_end - own_first
            memory.backlog[channel, place, ARRIVAL] = arrival
            memory.backlog[channel, place, RANK] = rank
            memory.backlog[channel, place, WRITES] = write
            _aim(memory.backlog, channel, place, times)


@outer
def submit_all(memory, times, addresses, n_bytes, write, at_ps):  # type: ignore[no-untyped-def]
    """Put one transfer per address behind all others, in order of arrival."""
    for transfer in range(addresses.size):
        submit(memory, times, transfer, addresses[transfer], n_bytes, write, at_ps[transfer], transfer, NO_PORT, 0)


@inner
def _own_bursts(end, channel, times):  # type: ignore[no-untyped-def]
    """How many of the bursts below `end` are a channel's: stripes of all its banks' rows go round."""
    stripe = times.ranks * times.banks * times.row_bursts
    rounds, rest = end // (stripe * times.channels), end % (stripe * times.channels)
    return rounds * stripe + min(max(rest - channel * stripe, 0), stripe)


@inner
def _place_in_backlog(memory, channel, arrival, rank):  # type: ignore[no-untyped-def]
    """Make room behind all that arrived before, and return the place."""
    backlog, cursors = memory.backlog, memory.cursors
    if cursors[channel, BACKLOG_TO] == backlog.shape[1]:
        start, n = cursors[channel, BACKLOG_FROM], cursors[channel, BACKLOG_TO] - cursors[channel, BACKLOG_FROM]
        for place in range(n):
            _copy(backlog, channel, start + place, backlog, place)
        cursors[channel, BACKLOG_FROM], cursors[channel, BACKLOG_TO] = 0, n
    place = cursors[channel, BACKLOG_TO]
    while place > cursors[channel, BACKLOG_FROM]:
        before = backlog[channel, place - 1, ARRIVAL]
        if before < arrival or (before == arrival and backlog[channel, place - 1, RANK] <= rank):
            break
        _copy(backlog, channel, place - 1, backlog, place)
        place -= 1
    cursors[channel, BACKLOG_TO] += 1
    return place


@inner
def _copy(source, channel, place, target, new_place):  # type: ignore[no-untyped-def]
    for field in range(source.shape[2]):
        target[channel, new_place, field] = source[channel, place, field]


@inner
def _aim(requests, channel, place, times):  # type: ignore[no-untyped-def]
    """Note a request's bank and row. Address bits from the top: row, (channel,) rank, bank, column."""
    piece, banks = requests[channel, place, BURST] // times.row_bursts, times.ranks * times.banks
    requests[channel, place, BANK], requests[channel, place, ROW] = piece % banks, piece // banks


@inner
def next_column(memory, times, until):  # type: ignore[no-untyped-def]
    """Return (cycle, channel, place in the queue) of the next column command; the place is -1 if there is none.

    Requests enter the queue up to cycle `until`; a later command may yet be overtaken.
    """
    best, best_channel, best_place = NEVER, 0, -1
    for channel in range(times.channels):
        entrance = _fill_queue(memory, times, channel, until)
        _refresh_idle_ranks(memory, times, channel)
        column, place = _first_ready(memory, times, channel)
        if entrance < column:
            column, place = entrance, -1
        if column < best:
            best, best_channel, best_place = column, channel, place
    return best, best_channel, best_place


@inner
def _fill_queue(memory, times, channel, until):  # type: ignore[no-untyped-def]
    """Let requests that have arrived into the queue; return when the next one could enter, NEVER if none can."""
    cursors = memory.cursors
    while cursors[channel, BACKLOG_FROM] < cursors[channel, BACKLOG_TO]:
        if cursors[channel, QUEUED] == times.queue_depth:
            return NEVER
        head, place = cursors[channel, BACKLOG_FROM], cursors[channel, QUEUED]
        arrival = max(memory.backlog[channel, head, ARRIVAL], cursors[channel, ROOM_FROM])
        if arrival + times.controller > until:
            return arrival + times.controller
        _copy(memory.backlog, channel, head, memory.queue, place)
        memory.queue[channel, place, ARRIVAL] = arrival
        transfer = memory.backlog[channel, head, TRANSFER]
        if memory.transfers[transfer, ENTERED_PS] < 0:
            memory.transfers[transfer, ENTERED_PS] = arrival * times.cycle_ps
        cursors[channel, BACKLOG_FROM] += 1
        cursors[channel, QUEUED] += 1
    return NEVER


@inner
def _refresh_idle_ranks(memory, times, channel):  # type: ignore[no-untyped-def]
    """Refresh ranks that have been due since before any of their requests could be served."""
    queue, n = memory.queue, memory.cursors[channel, QUEUED]
    for rank in range(times.ranks):
        due = memory.channels.ranks[channel, rank, REFRESH_AT]
        least_ready = NEVER
        for place in range(n):
            ready = queue[channel, place, ARRIVAL] + times.controller
            if ready < least_ready and queue[channel, place, BANK] // times.banks == rank:
                least_ready = ready
                if ready < due:
                    break
        while least_ready < NEVER and memory.channels.ranks[channel, rank, REFRESH_AT] <= least_ready:
            refresh_rank(memory.channels, times, channel, rank)


@inner
def _first_ready(memory, times, channel):  # type: ignore[no-untyped-def]
    """The request whose next burst can be on the bus first, the oldest of equals; but row hits end somewhere."""
    column, place = _earliest(memory, times, channel, memory.passed_over[:0])
    if place < 0 or not _must_let_pass(memory, times, channel, place):
        return column, place
    passed_over = memory.passed_over
    passed_over[:] = False
    while place >= 0 and _must_let_pass(memory, times, channel, place):
        passed_over[memory.queue[channel, place, BANK]] = True
        column, place = _earliest(memory, times, channel, passed_over)
    return column, place


@inner
def _earliest(memory, times, channel, passed_over):  # type: ignore[no-untyped-def]
    """Cycle and place of the first possible column command, leaving out row hits of the banks passed over."""
    queue, state = memory.queue, memory.channels
    best, best_place = NEVER, -1
    for place in range(memory.cursors[channel, QUEUED]):
        bank, row = queue[channel, place, BANK], queue[channel, place, ROW]
        if passed_over.size and passed_over[bank] and state.banks[channel, bank, OPEN_ROW] == row:
            continue
        ready = queue[channel, place, ARRIVAL] + times.controller
        _, column = plan(state, times, channel, bank, row, queue[channel, place, WRITES], ready)
        if column < best or (column == best and _is_older(queue, channel, place, best_place)):
            best, best_place = column, place
    return best, best_place


@inner
def _must_let_pass(memory, times, channel, place):  # type: ignore[no-untyped-def]
    """Whether a row hit, after enough of them, keeps an older request for another row of the bank waiting."""
    queue, banks = memory.queue, memory.channels.banks
    bank, row = queue[channel, place, BANK], queue[channel, place, ROW]
    if banks[channel, bank, OPEN_ROW] != row or banks[channel, bank, HITS] < times.row_hit_limit:
        return False
    for other in range(memory.cursors[channel, QUEUED]):
        another_row = queue[channel, other, BANK] == bank and queue[channel, other, ROW] != row
        if another_row and _is_older(queue, channel, other, place):
            return True
    return False


@inner
def _is_older(queue, channel, place, than):  # type: ignore[no-untyped-def]
    if queue[channel, place, ARRIVAL] != queue[channel, than, ARRIVAL]:
        return queue[channel, place, ARRIVAL] < queue[channel, than, ARRIVAL]
    return queue[channel, place, RANK] < queue[channel, than, RANK]


@inner
def serve(memory, times, channel, place):  # type: ignore[no-untyped-def]
    """Serve a request's bursts of one row, or let a refresh go first; return the transfer if that finished it."""
    state, queue, transfers = memory.channels, memory.queue, memory.transfers
    bank, row, write = queue[channel, place, BANK], queue[channel, place, ROW], queue[channel, place, WRITES]
    burst, transfer = queue[channel, place, BURST], queue[channel, place, TRANSFER]
    ready = queue[channel, place, ARRIVAL] + times.controller
    activate, column = plan(state, times, channel, bank, row, write, ready)
    refresh = state.ranks[channel, bank // times.banks, REFRESH_AT]
    if refresh <= column:
        if activate < refresh:  # the row was opened in vain
            be_active(state, channel, activate, activate + times.trcd)
            activate_row(state, times, channel, bank, row, activate)
        refresh_rank(state, times, channel, bank // times.banks)
        return -1
    spacing = max(times.tccd, times.burst)
    n_bursts = min(queue[channel, place, LEFT], times.row_bursts - burst % times.row_bursts)
    n_bursts = min(n_bursts, (refresh - 1 - column) // spacing + 1)
    if transfers[transfer, ROW_HIT] < 0:
        transfers[transfer, ROW_HIT] = activate == NEVER
    stand_by(state, channel, min(activate, column))
    if activate != NEVER:
        activate_row(state, times, channel, bank, row, activate)
    end = transfer_bursts(state, times, channel, bank, n_bursts, write, column)
    be_active(state, channel, min(activate, column), end)
    _land(memory, times, channel, transfer, burst, n_bursts, end * times.cycle_ps)
    queue[channel, place, BURST] += n_bursts
    queue[channel, place, LEFT] -= n_bursts
    if queue[channel, place, LEFT] > 0:
        _aim(queue, channel, place, times)
        queue[channel, place, ARRIVAL] = max(ready - times.controller, column)  # while this row is read
        return -1
    _leave_queue(memory, channel, place, column + (n_bursts - 1) * spacing)
    transfers[transfer, PARTS] -= 1
    return transfer if transfers[transfer, PARTS] == 0 else -1


@inner
def _leave_queue(memory, channel, place, at):  # type: ignore[no-untyped-def]
    """Free a request's place."""
    if memory.cursors[channel, QUEUED] == memory.queue.shape[1]:
        memory.cursors[channel, ROOM_FROM] = at
    memory.cursors[channel, QUEUED] -= 1
    _copy(memory.queue, channel, memory.cursors[channel, QUEUED], memory.queue, place)


@inner
def _land(memory, times, channel, transfer, burst, n_bursts, at_ps):  # type: ignore[no-untyped-def]
    """Data have arrived: they are where they are wanted, or are written there through a port, word by word."""
    transfers = memory.transfers
    if transfers[transfer, PORT] == NO_PORT:
        transfers[transfer, FINISH_PS] = max(transfers[transfer, FINISH_PS], at_ps)
        return
    stripe = times.ranks * times.banks * times.row_bursts
    overall = (burst // stripe * times.channels + channel) * stripe + burst % stripe
    begin = max(overall * times.burst_bytes - transfers[transfer, ADDRESS], 0)
    end = min((overall + n_bursts) * times.burst_bytes - transfers[transfer, ADDRESS], transfers[transfer, N_BYTES])
    each = transfers[transfer, PORT_BYTES]
    while begin < end:
        which = begin // each
        part_end = min(end, (which + 1) * each)
        written_ps = _write(memory, transfers[transfer, PORT] + which, part_end - begin, at_ps)
        transfers[transfer, FINISH_PS] = max(transfers[transfer, FINISH_PS], written_ps)
        begin = part_end


@inner
def _write(memory, port, n_bytes, at_ps):  # type: ignore[no-untyped-def]
    """Write words through a port from a time on; return when that is done."""
    begin = max(-(-at_ps // memory.period_ps), memory.port_free_at[port])
    end = begin - (-n_bytes // memory.word_bytes)
    memory.port_free_at[port] = end
    latest = memory.n_windows[port] % memory.windows.shape[1]
    memory.windows[port, latest, 0], memory.windows[port, latest, 1] = begin, end
    memory.n_windows[port] += 1
    return end * memory.period_ps


@outer
def advance(memory, times, until_ps, finished):  # type: ignore[no-untyped-def]
    """Serve all that can be served up to `until_ps`, or to the first moment a finished transfer is heard of.

    Writes the finished transfers to `finished`; returns their number and the time of the next column command.
    """
    n, until = 0, until_ps // times.cycle_ps
    while True:
        column, channel, place = next_column(memory, times, until)
        if column > until or place < 0 or n == finished.size:
            return n, (NEVER if column == NEVER else column * times.cycle_ps)
        transfer = serve(memory, times, channel, place)
        if transfer >= 0:
            finished[n] = transfer
            n += 1
            until = min(until, memory.transfers[transfer, FINISH_PS] // times.cycle_ps)


@outer
def catch_up(memory, times, now_ps):  # type: ignore[no-untyped-def]
    """Refresh and stand by up to the present."""
    now = now_ps // times.cycle_ps
    for channel in range(times.channels):
        for rank in range(times.ranks):
            while memory.channels.ranks[channel, rank, REFRESH_AT] <= now:
                refresh_rank(memory.channels, times, channel, rank)
        stand_by(memory.channels, channel, now)
