"""The scheduler in front of the channels: first ready, first come.

Of a request one row's worth is served at a time. That is exact as long as nothing can interrupt a burst of row
hits, and makes the streaming of megabytes cheap. A queue is looked through from its oldest request on: none is ready
before the bus is free or before an older one could be, so that the search ends early.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from archsim.kernels.dram.channel import (
    HITS,
    NEVER,
    OPEN_ROW,
    READ_FROM,
    REFRESH_AT,
    WRITE_FROM,
    activate_row,
    be_active,
    plan,
    refresh_rank,
    stand_by,
    transfer_bursts,
)
from archsim.kernels.dram.fill_ports import write_words
from archsim.kernels.dram.request_queue import fill_queue, grow_younger, leave_queue, ready_from
from archsim.kernels.dram.requests import (
    ADDRESS,
    ARRIVAL,
    BANK,
    BURST,
    FINISH_PS,
    LEFT,
    N_BYTES,
    NO_PORT,
    PARTS,
    PORT,
    PORT_BYTES,
    QUEUED,
    ROW,
    ROW_HIT,
    TRANSFER,
    WRITES,
    aim,
)
from archsim.kernels.jit import inner, outer


@inner
def next_column(memory, times, until):
    """Return (cycle, channel, age) of the next column command: so many requests are older; -1 if there is none.

    Requests enter the queue up to cycle `until`; a later command may yet be overtaken.
    """
    best, best_channel, best_age = NEVER, 0, -1
    for channel in range(times.channels):
        entrance = fill_queue(memory, times, channel, until)
        _refresh_idle_ranks(memory, times, channel)
        column, age = _first_ready(memory, times, channel)
        if entrance < column:
            column, age = entrance, -1
        if column < best:
            best, best_channel, best_age = column, channel, age
    return best, best_channel, best_age


@inner
def _refresh_idle_ranks(memory, times, channel):
    """Refresh ranks that have been due since before any of their requests could be served."""
    for rank in range(times.ranks):
        ready = ready_from(memory, times, channel, rank)
        while ready < NEVER and memory.channels.ranks[channel, rank, REFRESH_AT] <= ready:
            refresh_rank(memory.channels, times, channel, rank)


@inner
def _first_ready(memory, times, channel):
    """The request whose next burst can be on the bus first, the oldest of equals; but row hits end somewhere."""
    column, age = _earliest(memory, times, channel, memory.passed_over[:0])
    if age < 0 or not _must_let_pass(memory, times, channel, age):
        return column, age
    passed_over = memory.passed_over
    passed_over[:] = False
    while age >= 0 and _must_let_pass(memory, times, channel, age):
        passed_over[memory.queue[channel, memory.age_order[channel, age], BANK]] = True
        column, age = _earliest(memory, times, channel, passed_over)
    return column, age


@inner
def _earliest(memory, times, channel, passed_over):
    """Cycle and age of the first possible column command, leaving out row hits of the banks passed over."""
    queue, state = memory.queue, memory.channels
    bus = min(state.buses[channel, READ_FROM], state.buses[channel, WRITE_FROM])
    best, best_age = NEVER, -1
    for age in range(memory.cursors[channel, QUEUED]):
        place = memory.age_order[channel, age]
        ready = queue[channel, place, ARRIVAL] + times.controller
        if best <= max(ready, bus):
            break
        bank, row = queue[channel, place, BANK], queue[channel, place, ROW]
        if passed_over.size and passed_over[bank] and state.banks[channel, bank, OPEN_ROW] == row:
            continue
        _, column = plan(state, times, channel, bank, row, queue[channel, place, WRITES], ready)
        if column < best:
            best, best_age = column, age
    return best, best_age


@inner
def _must_let_pass(memory, times, channel, age):
    """Whether a row hit, after enough of them, keeps an older request for another row of the bank waiting."""
    queue, banks, age_order = memory.queue, memory.channels.banks, memory.age_order
    bank, row = queue[channel, age_order[channel, age], BANK], queue[channel, age_order[channel, age], ROW]
    if banks[channel, bank, OPEN_ROW] != row or banks[channel, bank, HITS] < times.row_hit_limit:
        return False
    for older in range(age):
        place = age_order[channel, older]
        if queue[channel, place, BANK] == bank and queue[channel, place, ROW] != row:
            return True
    return False


@inner
def serve(memory, times, channel, age):
    """Serve a request's bursts of one row, or let a refresh go first; return the transfer if that finished it."""
    place = memory.age_order[channel, age]
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
        aim(queue, channel, place, times)
        queue[channel, place, ARRIVAL] = max(ready - times.controller, column)  # while this row is read
        grow_younger(memory, channel, age)
        return -1
    leave_queue(memory, channel, age, column + (n_bursts - 1) * spacing)
    transfers[transfer, PARTS] -= 1
    return transfer if transfers[transfer, PARTS] == 0 else -1


@inner
def _land(memory, times, channel, transfer, burst, n_bursts, at_ps):
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
        written_ps = write_words(memory, transfers[transfer, PORT] + which, part_end - begin, at_ps)
        transfers[transfer, FINISH_PS] = max(transfers[transfer, FINISH_PS], written_ps)
        begin = part_end


@outer
def advance(memory, times, until_ps, finished):
    """Serve all that can be served up to `until_ps`, or to the first moment a finished transfer is heard of.

    Writes the finished transfers to `finished`; returns their number and the time of the next column command.
    """
    n, until = 0, until_ps // times.cycle_ps
    while True:
        column, channel, age = next_column(memory, times, until)
        if column > until or age < 0 or n == finished.size:
            return n, (NEVER if column == NEVER else column * times.cycle_ps)
        transfer = serve(memory, times, channel, age)
        if transfer >= 0:
            finished[n] = transfer
            n += 1
            until = min(until, memory.transfers[transfer, FINISH_PS] // times.cycle_ps)


@outer
def catch_up(memory, times, now_ps):
    """Refresh and stand by up to the present."""
    now = now_ps // times.cycle_ps
    for channel in range(times.channels):
        for rank in range(times.ranks):
            while memory.channels.ranks[channel, rank, REFRESH_AT] <= now:
                refresh_rank(memory.channels, times, channel, rank)
        stand_by(memory.channels, channel, now)
