"""FR-FCFS scheduler in front of the channels: first ready, first come first served, with a starvation limit.

It serves up to one row of a request at a time. That is exact as long as nothing can interrupt a burst of row hits,
and makes the streaming of megabytes cheap.
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
    account_active,
    account_power_down,
    activate_row,
    earliest_issue,
    refresh_rank,
    transfer_bursts,
)
from archsim.kernels.dram.fill_ports import write_words
from archsim.kernels.dram.request_queue import fill_queue, leave_queue, ready_from, requeue
from archsim.kernels.dram.requests import (
    ADDRESS,
    ARRIVAL,
    BANK,
    BURST,
    BURSTS_LEFT,
    CHANNELS_LEFT,
    FINISH_PS,
    N_BYTES,
    NO_PORT,
    PORT,
    PORT_BYTES,
    QUEUED,
    ROW,
    ROW_HIT,
    TRANSFER,
    WRITES,
    decode_address,
)
from archsim.kernels.jit import inner, outer


@inner
def next_column(memory, dram_times, until):
    """Return cycle, channel and age of the next column command, age being the number of older requests.

    Requests enter the queue up to cycle `until`. Age is -1 if a request that enters later may still be the next.
    """
    best, best_channel, best_age = NEVER, 0, -1
    for channel in range(dram_times.channels):
        entrance = fill_queue(memory, dram_times, channel, until)
        _refresh_idle_ranks(memory, dram_times, channel, _last_ready(memory, dram_times, channel))
        column, age = _first_ready(memory, dram_times, channel)
        # A request that enters at `entrance` could be served before this command, so the choice is not final.
        if entrance < column:
            column, age = entrance, -1
        if column < best:
            best, best_channel, best_age = column, channel, age
    return best, best_channel, best_age


@inner
def _refresh_idle_ranks(memory, dram_times, channel, until):
    """Refresh the ranks whose refresh is due up to `until` and before any of their requests can be served."""
    # Refreshes are simulated late, but at the cycles they were due. All ranks take turns in that order, because standby
    # is counted by channel, and what is counted stays.
    while True:
        due, first = until + 1, -1
        for rank in range(dram_times.ranks):
            refresh_at = memory.channels.ranks[channel, rank, REFRESH_AT]
            if refresh_at < due and refresh_at <= ready_from(memory, dram_times, channel, rank):
                due, first = refresh_at, rank
        if first < 0:
            return
        refresh_rank(memory.channels, dram_times, channel, first)


@inner
def _last_ready(memory, dram_times, channel):
    """Return the last cycle from which the oldest request for a rank can be served; -1 without requests."""
    last = -1
    for rank in range(dram_times.ranks):
        ready = ready_from(memory, dram_times, channel, rank)
        if ready < NEVER:
            last = max(last, ready)
    return last


@inner
def _first_ready(memory, dram_times, channel):
    """Return cycle and age of the earliest column command within the starvation limit, the oldest of equals."""
    column, age = _earliest_column(memory, dram_times, channel, memory.at_hit_limit[:0])
    if age < 0 or not _exceeds_hit_limit(memory, dram_times, channel, age):
        return column, age
    # Leaving out one bank's hits may bring up a hit of another bank beyond the limit, hence the loop.
    at_hit_limit = memory.at_hit_limit
    at_hit_limit[:] = False
    while age >= 0 and _exceeds_hit_limit(memory, dram_times, channel, age):
        at_hit_limit[memory.queue[channel, memory.age_order[channel, age], BANK]] = True
        column, age = _earliest_column(memory, dram_times, channel, at_hit_limit)
    return column, age


@inner
def _earliest_column(memory, dram_times, channel, at_hit_limit):
    """Return cycle and age of the earliest column command, without row hits of banks at their limit."""
    queue, state = memory.queue, memory.channels
    bus = min(state.buses[channel, READ_FROM], state.buses[channel, WRITE_FROM])
    best, best_age = NEVER, -1
    for age in range(memory.cursors[channel, QUEUED]):
        slot = memory.age_order[channel, age]
        ready = queue[channel, slot, ARRIVAL] + dram_times.controller
        # Younger requests are ready no earlier than this one, none is before the bus is free, and the older wins a tie.
        if best <= max(ready, bus):
            break
        bank, row = queue[channel, slot, BANK], queue[channel, slot, ROW]
        if at_hit_limit.size and at_hit_limit[bank] and state.banks[channel, bank, OPEN_ROW] == row:
            continue
        _, column = earliest_issue(state, dram_times, channel, bank, row, queue[channel, slot, WRITES], ready)
        if column < best:
            best, best_age = column, age
    return best, best_age


@inner
def _exceeds_hit_limit(memory, dram_times, channel, age):
    """Return True if this row hit exceeds row_hit_limit while an older request needs another row of the bank."""
    queue, banks, age_order = memory.queue, memory.channels.banks, memory.age_order
    bank, row = queue[channel, age_order[channel, age], BANK], queue[channel, age_order[channel, age], ROW]
    if banks[channel, bank, OPEN_ROW] != row or banks[channel, bank, HITS] < dram_times.row_hit_limit:
        return False
    for older in range(age):
        slot = age_order[channel, older]
        if queue[channel, slot, BANK] == bank and queue[channel, slot, ROW] != row:
            return True
    return False


@inner
def serve(memory, dram_times, channel, age):
    """Serve the bursts of a request in one row, or a refresh that is due first; return the transfer if it is finished.

    Returns -1 otherwise.
    """
    slot = memory.age_order[channel, age]
    state, queue, transfers = memory.channels, memory.queue, memory.transfers
    bank, row, write = queue[channel, slot, BANK], queue[channel, slot, ROW], queue[channel, slot, WRITES]
    burst, transfer = queue[channel, slot, BURST], queue[channel, slot, TRANSFER]
    ready = queue[channel, slot, ARRIVAL] + dram_times.controller
    activate, column = earliest_issue(state, dram_times, channel, bank, row, write, ready)
    refresh = state.ranks[channel, bank // dram_times.banks, REFRESH_AT]
    if refresh <= column:
        # A controller does not hold back an activation before the refresh is due, so the row is opened in vain.
        if activate < refresh:
            account_active(state, channel, activate, activate + dram_times.trcd)
            activate_row(state, dram_times, channel, bank, row, activate)
        refresh_rank(state, dram_times, channel, bank // dram_times.banks)
        return -1
    spacing = max(dram_times.tccd, dram_times.burst)
    n_bursts = min(queue[channel, slot, BURSTS_LEFT], dram_times.row_bursts - burst % dram_times.row_bursts)
    # Column commands stop when the refresh is due; the rest of the row follows after it.
    n_bursts = min(n_bursts, (refresh - 1 - column) // spacing + 1)
    if transfers[transfer, ROW_HIT] < 0:
        transfers[transfer, ROW_HIT] = activate == NEVER
    _refresh_idle_ranks(memory, dram_times, channel, min(activate, column))
    # Before the activation, because idle cycles count by whether a row is open.
    account_power_down(state, channel, min(activate, column))
    if activate != NEVER:
        activate_row(state, dram_times, channel, bank, row, activate)
    end = transfer_bursts(state, dram_times, channel, bank, n_bursts, write, column)
    account_active(state, channel, min(activate, column), end)
    _deliver(memory, dram_times, channel, transfer, burst, n_bursts, end * dram_times.cycle_ps)
    queue[channel, slot, BURST] += n_bursts
    queue[channel, slot, BURSTS_LEFT] -= n_bursts
    if queue[channel, slot, BURSTS_LEFT] > 0:
        decode_address(queue, channel, slot, dram_times)
        # The next row may be opened while this one is read. Requests that arrived meanwhile become the older ones, so
        # that a long transfer keeps none of them waiting for more than a row.
        queue[channel, slot, ARRIVAL] = max(ready - dram_times.controller, column)
        requeue(memory, channel, age)
        return -1
    leave_queue(memory, channel, age, column + (n_bursts - 1) * spacing)
    transfers[transfer, CHANNELS_LEFT] -= 1
    return transfer if transfers[transfer, CHANNELS_LEFT] == 0 else -1


@inner
def _deliver(memory, dram_times, channel, transfer, burst, n_bursts, at_ps):
    """Record the arrival of bursts, or write them through the transfer's fill ports."""
    transfers = memory.transfers
    if transfers[transfer, PORT] == NO_PORT:
        transfers[transfer, FINISH_PS] = max(transfers[transfer, FINISH_PS], at_ps)
        return
    # From the burst's number within its channel to its number in the memory, then to bytes of the transfer.
    stripe = dram_times.ranks * dram_times.banks * dram_times.row_bursts
    overall = (burst // stripe * dram_times.channels + channel) * stripe + burst % stripe
    begin = max(overall * dram_times.burst_bytes - transfers[transfer, ADDRESS], 0)
    end = min(
        (overall + n_bursts) * dram_times.burst_bytes - transfers[transfer, ADDRESS], transfers[transfer, N_BYTES]
    )
    each = transfers[transfer, PORT_BYTES]
    while begin < end:
        port = begin // each
        port_end = min(end, (port + 1) * each)
        written_ps = write_words(memory, transfers[transfer, PORT] + port, port_end - begin, at_ps)
        transfers[transfer, FINISH_PS] = max(transfers[transfer, FINISH_PS], written_ps)
        begin = port_end


@outer
def advance(memory, dram_times, until_ps, finished):
    """Serve column commands up to `until_ps`, or up to the end of the first transfer that finishes.

    Writes the finished transfers to `finished`; returns their number and the time of the next column command.
    """
    n, until = 0, until_ps // dram_times.cycle_ps
    while True:
        column, channel, age = next_column(memory, dram_times, until)
        if column > until or age < 0 or n == finished.size:
            return n, (NEVER if column == NEVER else column * dram_times.cycle_ps)
        transfer = serve(memory, dram_times, channel, age)
        if transfer >= 0:
            finished[n] = transfer
            n += 1
            # At that moment its requester may submit another transfer, so commands after it are not certain.
            until = min(until, memory.transfers[transfer, FINISH_PS] // dram_times.cycle_ps)


@outer
def catch_up(memory, dram_times, now_ps):
    """Simulate refreshes and account standby up to the present."""
    now = now_ps // dram_times.cycle_ps
    for channel in range(dram_times.channels):
        _refresh_idle_ranks(memory, dram_times, channel, now)
        account_power_down(memory.channels, channel, now)
