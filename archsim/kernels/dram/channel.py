"""Timing of an LPDDR4 channel: when a row can be opened and read, and what that does to all that follows.

All times are cycles of the memory clock. Names are JEDEC's (JESD209-4), in lower case.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from archsim.kernels.arrays import I64
from archsim.kernels.jit import inner

NEVER = 1 << 60
NO_ROW = -1
OPEN_ROW, COLUMN_FROM, PRECHARGE_FROM, ACTIVATE_FROM, HITS = range(5)
"""A bank: its open row, from when it takes each command, and row hits since the row was opened."""
REFRESH_AT, FOURTH_LAST, LAST_ACTIVATE = 0, 1, 4
"""A rank: when it is refreshed next, and its last four activations."""
READ_FROM, WRITE_FROM, LAST_RANK, ACTIVE_UNTIL, COUNTS_FROM = range(5)
"""A channel: from when its bus is free for each direction, who had it last, and what is counted."""
COUNTS = (
    *("activate", "precharge", "read", "write", "refresh"),
    *("active_standby", "open_power_down", "closed_power_down"),
)
ACTIVATE, PRECHARGE, READ, WRITE, REFRESH, ACTIVE, OPEN_IDLE, CLOSED_IDLE = range(COUNTS_FROM, COUNTS_FROM + 8)
"""Commands, and the cycles a channel spends in each state."""


class DramTimes(NamedTuple):
    """One memory's shape and timing."""

    channels: int
    ranks: int
    banks: int
    """Of one rank."""
    row_bursts: int
    """Bursts in a row of a bank."""
    burst_bytes: int
    cycle_ps: int
    controller: int
    """Cycles from a request's arrival to the first command it can cause."""
    queue_depth: int
    """Requests of a channel that the scheduler sees."""
    row_hit_limit: int
    """Row hits that may pass an older request for another row of the bank."""
    burst: int
    trcd: int
    trp: int
    cl: int
    cwl: int
    tras: int
    trrd: int
    tfaw: int
    tccd: int
    twr: int
    twtr: int
    trtp: int
    trtrs: int
    tppd: int
    trfc: int
    trefi: int


class Channels(NamedTuple):
    """What the memory is able to do next; int64."""

    banks: I64
    """(C, R·B, 5)."""
    ranks: I64
    """(C, R, 5)."""
    buses: I64
    """(C, 4 and the counts)."""


def idle_channels(times: DramTimes) -> Channels:
    """Channels with all rows closed at cycle 0; the ranks of a channel refresh in turn."""
    banks = np.zeros((times.channels, times.ranks * times.banks, 5), np.int64)
    banks[..., OPEN_ROW] = NO_ROW
    ranks = np.full((times.channels, times.ranks, 5), -NEVER, np.int64)
    ranks[..., REFRESH_AT] = np.arange(1, times.ranks + 1) * (times.trefi // times.ranks)
    buses = np.zeros((times.channels, COUNTS_FROM + len(COUNTS)), np.int64)
    buses[:, LAST_RANK] = NO_ROW
    return Channels(banks, ranks, buses)


@inner
def plan(state, times, channel, bank, row, write, ready):
    """Return when the row could be activated (NEVER: it is open) and its first column command be issued."""
    rank = bank // times.banks
    bus = state.buses[channel, WRITE_FROM if write else READ_FROM]
    last_rank = state.buses[channel, LAST_RANK]
    if last_rank != rank and last_rank != NO_ROW:
        bus += times.trtrs
    open_row = state.banks[channel, bank, OPEN_ROW]
    if open_row == row:
        return NEVER, max(ready, state.banks[channel, bank, COLUMN_FROM], bus)
    last, fourth_last = state.ranks[channel, rank, LAST_ACTIVATE], state.ranks[channel, rank, FOURTH_LAST]
    activate = max(ready, state.banks[channel, bank, ACTIVATE_FROM], last + times.trrd, fourth_last + times.tfaw)
    if open_row != NO_ROW:
        activate = max(activate, max(ready, state.banks[channel, bank, PRECHARGE_FROM]) + times.trp)
    return activate, max(activate + times.trcd, bus)


@inner
def activate_row(state, times, channel, bank, row, at):
    """Open a row, closing the one before it in time."""
    if state.banks[channel, bank, OPEN_ROW] != NO_ROW:
        state.buses[channel, PRECHARGE] += 1
    state.buses[channel, ACTIVATE] += 1
    state.banks[channel, bank, OPEN_ROW] = row
    state.banks[channel, bank, COLUMN_FROM] = at + times.trcd
    state.banks[channel, bank, PRECHARGE_FROM] = at + times.tras
    state.banks[channel, bank, HITS] = 0
    rank = bank // times.banks
    for place in range(FOURTH_LAST, LAST_ACTIVATE):
        state.ranks[channel, rank, place] = state.ranks[channel, rank, place + 1]
    state.ranks[channel, rank, LAST_ACTIVATE] = at


@inner
def transfer_bursts(state, times, channel, bank, n_bursts, write, column):
    """Read or write bursts of the open row from cycle `column` on; return when the last one's data have passed."""
    spacing = max(times.tccd, times.burst)
    last = column + (n_bursts - 1) * spacing
    if write:
        end = last + times.cwl + times.burst
        closable, write_from, read_from = end + times.twr, last + spacing, end + times.twtr
    else:
        end = last + times.cl + times.burst
        closable, write_from, read_from = last + times.trtp, end + times.trtrs - times.cwl, last + spacing
    state.buses[channel, READ_FROM] = read_from
    state.buses[channel, WRITE_FROM] = write_from
    state.buses[channel, LAST_RANK] = bank // times.banks
    state.buses[channel, WRITE if write else READ] += n_bursts
    state.banks[channel, bank, PRECHARGE_FROM] = max(state.banks[channel, bank, PRECHARGE_FROM], closable)
    state.banks[channel, bank, HITS] += 1
    return end


@inner
def refresh_rank(state, times, channel, rank):
    """Close all banks of a rank, one after the other, and refresh it."""
    due = state.ranks[channel, rank, REFRESH_AT]
    stand_by(state, channel, due)
    banks = range(rank * times.banks, (rank + 1) * times.banks)
    precharge, start = due - times.tppd, due
    for bank in banks:
        start = max(start, state.banks[channel, bank, ACTIVATE_FROM])
        if state.banks[channel, bank, OPEN_ROW] != NO_ROW:
            precharge = max(precharge + times.tppd, state.banks[channel, bank, PRECHARGE_FROM])
            start = max(start, precharge + times.trp)
            state.banks[channel, bank, OPEN_ROW] = NO_ROW
            state.buses[channel, PRECHARGE] += 1
    for bank in banks:
        state.banks[channel, bank, ACTIVATE_FROM] = start + times.trfc
    state.buses[channel, REFRESH] += 1
    state.ranks[channel, rank, REFRESH_AT] = due + times.trefi
    be_active(state, channel, due, start + times.trfc)


@inner
def be_active(state, channel, start, end):
    """Count a channel as active from `start` to `end`, and as standing by before."""
    stand_by(state, channel, start)
    more = end - state.buses[channel, ACTIVE_UNTIL]
    if more > 0:
        state.buses[channel, ACTIVE] += more
        state.buses[channel, ACTIVE_UNTIL] = end


@inner
def stand_by(state, channel, until):
    """Count the idle cycles up to `until` as powered down, with rows open or with all of them closed."""
    idle = until - state.buses[channel, ACTIVE_UNTIL]
    if idle <= 0:
        return
    any_open = False
    for bank in range(state.banks.shape[1]):
        any_open = any_open or state.banks[channel, bank, OPEN_ROW] != NO_ROW
    state.buses[channel, OPEN_IDLE if any_open else CLOSED_IDLE] += idle
    state.buses[channel, ACTIVE_UNTIL] = until
