"""Timing of an LPDDR4 channel: the cycles at which commands can be issued, and how each delays those after it.

All times are cycles of the memory clock. Names of timings are JEDEC's (JESD209-4), in lower case.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from archsim.kernels.arrays import I64
from archsim.kernels.jit import inner

NEVER = 1 << 60
"""Time later than any event of a simulation; sums of it with other times stay within int64."""
NO_ROW = -1
OPEN_ROW, COLUMN_FROM, PRECHARGE_FROM, ACTIVATE_FROM, HITS = range(5)
"""Fields of a bank: its open row, the cycle from which it accepts each command, and row hits since the activation."""
REFRESH_AT, FOURTH_LAST, LAST_ACTIVATE = 0, 1, 4
"""Fields of a rank: the cycle of its next refresh, then its last four activations, the latest at the end."""
READ_FROM, WRITE_FROM, LAST_RANK, ACTIVE_UNTIL, COUNTS_FROM = range(5)
"""Fields of a channel: the cycle from which its bus takes a command of each direction, the rank that used the bus last,
the cycle up to which standby is accounted, and the first count."""
COUNTS = (
    *("activate", "precharge", "read", "write", "refresh"),
    *("active_standby", "open_power_down", "closed_power_down"),
)
ACTIVATE, PRECHARGE, READ, WRITE, REFRESH, ACTIVE, OPEN_IDLE, CLOSED_IDLE = range(COUNTS_FROM, COUNTS_FROM + 8)
"""Counts of a channel: commands by kind, then cycles in each standby state."""


class DramTimes(NamedTuple):
    """Shape and timing of one memory."""

    channels: int
    ranks: int
    banks: int
    """Banks per rank."""
    row_bursts: int
    """Bursts per row of a bank."""
    burst_bytes: int
    cycle_ps: int
    controller: int
    """Cycles from a request's arrival to the first command for it."""
    queue_depth: int
    """Requests per channel that the scheduler sees."""
    row_hit_limit: int
    """Row hits that may overtake an older request for another row of the bank."""
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
    """State of banks, ranks and buses, int64; C channels, R ranks, B banks."""

    banks: I64
    """(C, R·B, 5)."""
    ranks: I64
    """(C, R, 5)."""
    buses: I64
    """(C, 4 fields, then the counts)."""


def idle_channels(dram_times: DramTimes) -> Channels:
    """Return channels with all rows closed at cycle 0."""
    banks = np.zeros((dram_times.channels, dram_times.ranks * dram_times.banks, 5), np.int64)
    banks[..., OPEN_ROW] = NO_ROW
    # Activations before the start lie so far back that neither tRRD nor tFAW delays the first ones.
    ranks = np.full((dram_times.channels, dram_times.ranks, 5), -NEVER, np.int64)
    # Ranks refresh in turn, evenly within tREFI, so that they do not all stop serving at once.
    ranks[..., REFRESH_AT] = np.arange(1, dram_times.ranks + 1) * (dram_times.trefi // dram_times.ranks)
    buses = np.zeros((dram_times.channels, COUNTS_FROM + len(COUNTS)), np.int64)
    buses[:, LAST_RANK] = NO_ROW
    return Channels(banks, ranks, buses)


@inner
def earliest_issue(state, dram_times, channel, bank, row, write, ready):
    """Return the earliest cycles of the row's activation (NEVER if it is open) and of its first column command."""
    rank = bank // dram_times.banks
    bus = state.buses[channel, WRITE_FROM if write else READ_FROM]
    last_rank = state.buses[channel, LAST_RANK]
    if last_rank != rank and last_rank != NO_ROW:
        bus += dram_times.trtrs
    open_row = state.banks[channel, bank, OPEN_ROW]
    if open_row == row:
        return NEVER, max(ready, state.banks[channel, bank, COLUMN_FROM], bus)
    # At most four activations of a rank fall within tFAW, so the fifth waits for the fourth last.
    last, fourth_last = state.ranks[channel, rank, LAST_ACTIVATE], state.ranks[channel, rank, FOURTH_LAST]
    activate = max(
        ready, state.banks[channel, bank, ACTIVATE_FROM], last + dram_times.trrd, fourth_last + dram_times.tfaw
    )
    if open_row != NO_ROW:
        activate = max(activate, max(ready, state.banks[channel, bank, PRECHARGE_FROM]) + dram_times.trp)
    return activate, max(activate + dram_times.trcd, bus)


@inner
def activate_row(state, dram_times, channel, bank, row, at):
    """Open a row at cycle `at`; the caller has left time for the precharge of the row open before."""
    if state.banks[channel, bank, OPEN_ROW] != NO_ROW:
        state.buses[channel, PRECHARGE] += 1
    state.buses[channel, ACTIVATE] += 1
    state.banks[channel, bank, OPEN_ROW] = row
    state.banks[channel, bank, COLUMN_FROM] = at + dram_times.trcd
    state.banks[channel, bank, PRECHARGE_FROM] = at + dram_times.tras
    state.banks[channel, bank, HITS] = 0
    rank = bank // dram_times.banks
    for position in range(FOURTH_LAST, LAST_ACTIVATE):
        state.ranks[channel, rank, position] = state.ranks[channel, rank, position + 1]
    state.ranks[channel, rank, LAST_ACTIVATE] = at


@inner
def transfer_bursts(state, dram_times, channel, bank, n_bursts, write, column):
    """Read or write bursts of the open row from cycle `column` on; return the cycle at which the last data end."""
    spacing = max(dram_times.tccd, dram_times.burst)
    last = column + (n_bursts - 1) * spacing
    if write:
        end = last + dram_times.cwl + dram_times.burst
        precharge_from, write_from, read_from = end + dram_times.twr, last + spacing, end + dram_times.twtr
    else:
        end = last + dram_times.cl + dram_times.burst
        # Data of a write follow its command by CWL, so the command may come before the data of the reads end.
        precharge_from, write_from, read_from = (
            last + dram_times.trtp,
            end + dram_times.trtrs - dram_times.cwl,
            last + spacing,
        )
    state.buses[channel, READ_FROM] = read_from
    state.buses[channel, WRITE_FROM] = write_from
    state.buses[channel, LAST_RANK] = bank // dram_times.banks
    state.buses[channel, WRITE if write else READ] += n_bursts
    # tRAS may still hold the row open for longer than the bursts do.
    state.banks[channel, bank, PRECHARGE_FROM] = max(state.banks[channel, bank, PRECHARGE_FROM], precharge_from)
    state.banks[channel, bank, HITS] += 1
    return end


@inner
def refresh_rank(state, dram_times, channel, rank):
    """Close all banks of a rank, one after the other, and refresh it."""
    due = state.ranks[channel, rank, REFRESH_AT]
    account_power_down(state, channel, due)
    banks = range(rank * dram_times.banks, (rank + 1) * dram_times.banks)
    # Precharges are tPPD apart, in the order of the banks; the refresh waits for tRP after the last of them.
    precharge, start = due - dram_times.tppd, due
    for bank in banks:
        start = max(start, state.banks[channel, bank, ACTIVATE_FROM])
        if state.banks[channel, bank, OPEN_ROW] != NO_ROW:
            precharge = max(precharge + dram_times.tppd, state.banks[channel, bank, PRECHARGE_FROM])
            start = max(start, precharge + dram_times.trp)
            state.banks[channel, bank, OPEN_ROW] = NO_ROW
            state.buses[channel, PRECHARGE] += 1
    for bank in banks:
        state.banks[channel, bank, ACTIVATE_FROM] = start + dram_times.trfc
    state.buses[channel, REFRESH] += 1
    # The next refresh follows the due cycle, not the actual start, so that a late one does not delay all others.
    state.ranks[channel, rank, REFRESH_AT] = due + dram_times.trefi
    account_active(state, channel, due, start + dram_times.trfc)


@inner
def account_active(state, channel, start, end):
    """Count a channel's cycles from `start` to `end` as active, and uncounted ones before as power-down."""
    account_power_down(state, channel, start)
    # Commands of several banks overlap, so only cycles beyond those counted already are added.
    more = end - state.buses[channel, ACTIVE_UNTIL]
    if more > 0:
        state.buses[channel, ACTIVE] += more
        state.buses[channel, ACTIVE_UNTIL] = end


@inner
def account_power_down(state, channel, until):
    """Count idle cycles up to `until` as power-down, with rows open or with all of them closed."""
    idle = until - state.buses[channel, ACTIVE_UNTIL]
    if idle <= 0:
        return
    any_open = False
    for bank in range(state.banks.shape[1]):
        any_open = any_open or state.banks[channel, bank, OPEN_ROW] != NO_ROW
    state.buses[channel, OPEN_IDLE if any_open else CLOSED_IDLE] += idle
    state.buses[channel, ACTIVE_UNTIL] = until
