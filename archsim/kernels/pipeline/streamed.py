"""The units of a pass whose weights are not all on chip: the recurrence of SEMANTICS 2.2, as far as it can go.

A neuron is evaluated when its weights have arrived; each unit goes on until what it waits for is not known yet.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from archsim.kernels.arrays import I64, U8, Bools
from archsim.kernels.dram.fill_ports import contended_read_end
from archsim.kernels.jit import inner, outer
from archsim.kernels.pipeline.gates import (
    EVALUATED,
    FIRST_ISSUE,
    FIRST_TAKEN,
    LAST_DECISION,
    LAST_FREE,
    ON_DECISION,
    ON_PLACE,
    ON_RESULTS,
    ON_WEIGHTS,
    REUSED,
    PassTimes,
    StepTimes,
    empty_times,
)

STEP, START, UPDATED, ASKED, DONE = range(5)
"""The pass: its step, that step's start in cycles, cells updated in it, rows asked for so far, whether it is over."""
ISSUED, LAST_ISSUE, TAKEN, FREE, DELIVERED, ROW, ROWS_ASKED, ROWS_READ, READ_FROM, READ_END = UNIT = range(10)
"""A computation unit: neurons issued and taken, the time of the last issue, when it is free and has delivered, the next
neuron whose row might be asked for, rows asked for and read, and the dot product under way (READ_END 0: none)."""
UNKNOWN = -1


class StreamedPass(NamedTuple):
    """What a pass is, and how far it has come; times are cycles of the accelerator, from the beginning of time."""

    reuse_bits: U8
    resident: Bools
    """(H,)."""
    addresses: I64
    """(G,) bytes."""
    numbers: I64
    """(G, S) the transfers a gate may have under way."""
    owner: I64
    """(n,) of every transfer of the memory: k·H + n, UNKNOWN for those of others."""
    row_bytes: int
    shares_bank: bool
    """Whether the dot product units read the bank that is being filled."""
    start: int
    state: I64
    """(5,)."""
    units: I64
    """(G, 10)."""
    decided: I64
    """(G, H), as `taken`, `arrived` and `delivered`."""
    taken: I64
    arrived: I64
    delivered: I64
    updated: I64
    """(H,)."""
    row_read: I64
    """(G, S) when the last row in a place was read."""
    found: PassTimes


def streamed_pass(
    reuse_bits: U8, resident: Bools, addresses: I64, numbers: I64, *,
    row_bytes: int, n_transfers: int, shares_bank: bool, start: int, spans: bool,
) -> StreamedPass:  # fmt: skip
    """A pass before its first step; `start` is its S_0."""
    n_gates, n_units = numbers.shape[0], resident.size
    state, per_neuron = np.zeros(5, np.int64), (n_gates, n_units)
    state[START] = start
    return StreamedPass(
        reuse_bits=reuse_bits,
        resident=resident,
        addresses=addresses,
        numbers=numbers,
        owner=np.full(n_transfers, UNKNOWN, np.int64),
        row_bytes=row_bytes,
        shares_bank=shares_bank,
        start=start,
        state=state,
        units=np.zeros((n_gates, len(UNIT)), np.int64),
        decided=np.zeros(per_neuron, np.int64),
        taken=np.zeros(per_neuron, np.int64),
        arrived=np.zeros(per_neuron, np.int64),
        delivered=np.zeros(per_neuron, np.int64),
        updated=np.zeros(n_units, np.int64),
        row_read=np.zeros(numbers.shape, np.int64),
        found=empty_times(reuse_bits.shape[0], n_gates, spans=spans),
    )


@outer
def begin(run: StreamedPass, times: StepTimes) -> None:
    """Enter the first step."""
    _start_step(run, times)


@inner
def _start_step(run, times):
    start = run.state[START]
    run.state[UPDATED] = 0
    run.arrived[:] = UNKNOWN
    for k in range(run.units.shape[0]):
        run.units[k, :] = 0
        run.units[k, FREE] = run.units[k, DELIVERED] = start
        run.units[k, LAST_ISSUE] = start - times.issue_cycles
        if not times.has_memo:
            run.units[k, ISSUED] = run.resident.size
            run.decided[k, :] = start


@inner
def is_reused(run, k, n):
    """The decision on a neuron of this step."""
    bit = k * run.resident.size + n
    return (run.reuse_bits[run.state[STEP], bit >> 3] >> (7 - (bit & 7))) & 1


@inner
def go_ahead(run, times, memory):
    """Let all units go as far as what is known takes them."""
    for k in range(run.units.shape[0]):
        go_ahead_from(run, times, memory, k)


@inner
def go_ahead_from(run, times, memory, k):
    """The same where only unit `k` knows of something new; the others may hear of it through the cells updated."""
    _decide_and_take(run, times, memory, k)
    while _update(run, times):
        for other in range(run.units.shape[0]):
            _decide_and_take(run, times, memory, other)


@inner
def _decide_and_take(run, times, memory, k):
    while _issue(run, times, k) or _take(run, times, memory, k):
        pass


@inner
def _issue(run, times, k):
    """The memoization unit's next neuron."""
    n = run.units[k, ISSUED]
    if n == run.resident.size or (n >= times.run_ahead and run.units[k, TAKEN] <= n - times.run_ahead):
        return False
    issue = run.units[k, LAST_ISSUE] + times.issue_cycles
    if n >= times.run_ahead:
        place = run.taken[k, n - times.run_ahead]
        run.found.tally[k, ON_PLACE] += max(place - issue, 0)
        issue = max(issue, place)
    run.decided[k, n] = issue + times.decision_cycles
    run.units[k, LAST_ISSUE] = issue
    run.units[k, ISSUED] = n + 1
    return True


@inner
def _take(run, times, memory, k):
    """The dot product unit's next neuron, if all it waits for is known."""
    n, free = run.units[k, TAKEN], run.units[k, FREE]
    if run.units[k, READ_END] or n >= run.units[k, ISSUED]:
        return False
    if n >= times.result_lag and run.state[UPDATED] <= n - times.result_lag:
        return False
    reused = is_reused(run, k, n)
    decided = with_weights = max(free, run.decided[k, n])
    if not (reused or run.resident[n]):
        if run.arrived[k, n] == UNKNOWN:
            return False
        with_weights = max(decided, run.arrived[k, n])
    take = with_weights
    if n >= times.result_lag:
        take = max(take, run.updated[n - times.result_lag])
    tally = run.found.tally
    tally[k, ON_DECISION] += decided - free
    tally[k, ON_WEIGHTS] += with_weights - decided
    tally[k, ON_RESULTS] += take - with_weights
    tally[k, REUSED] += reused
    tally[k, EVALUATED] += 1 - reused
    run.taken[k, n] = take
    run.units[k, TAKEN] = n + 1
    if reused:
        _deliver(run, k, n, take + times.pass_on_cycles, 0)
    elif run.shares_bank:
        run.units[k, READ_FROM] = take
        run.units[k, READ_END] = contended_read_end(memory, k, take, times.dot_cycles)
    else:
        end_read(run, times, k, take + times.dot_cycles)
    return True


@inner
def end_read(run, times, k, end):
    """A dot product is made; if its weights were fetched for it, their place is free."""
    n = run.units[k, TAKEN] - 1
    if not run.resident[n]:
        run.row_read[k, run.units[k, ROWS_READ] % run.row_read.shape[1]] = end
        run.units[k, ROWS_READ] += 1
    run.units[k, READ_END] = 0
    _deliver(run, k, n, end, times.dot_pipeline_cycles)


@inner
def _deliver(run, k, n, free, later):
    run.units[k, FREE] = free
    run.units[k, DELIVERED] = max(run.units[k, DELIVERED], free + later)
    run.delivered[k, n] = run.units[k, DELIVERED]


@inner
def _update(run, times):
    """The multi-functional unit's next cell, once all its products are known."""
    n = run.state[UPDATED]
    if n == run.resident.size:
        return False
    ready = run.state[START]
    for k in range(run.units.shape[0]):
        if run.units[k, TAKEN] <= n or (run.units[k, READ_END] and run.units[k, TAKEN] - 1 <= n):
            return False
        ready = max(ready, run.delivered[k, n])
    may_start = run.updated[n - 1] + times.update_interval_cycles if n > 0 else run.state[START]
    run.updated[n] = max(ready, may_start)
    run.found.update_wait[0] += run.updated[n] - may_start
    run.state[UPDATED] = n + 1
    return True


@inner
def end_step(run, times):
    """Note the step's end and enter the next."""
    t, last = run.state[STEP], run.resident.size - 1
    end = run.updated[last] + times.update_pipeline_cycles
    if t < run.found.spans.shape[0]:
        for k in range(run.units.shape[0]):
            spans = run.found.spans[t, k]
            spans[FIRST_ISSUE] = run.state[START] - run.start
            spans[LAST_DECISION] = run.decided[k, last] - run.start
            spans[FIRST_TAKEN], spans[LAST_FREE] = run.taken[k, 0] - run.start, run.units[k, FREE] - run.start
        run.found.update_spans[t, 0], run.found.update_spans[t, 1] = run.updated[0] - run.start, end - run.start
    run.state[START] = end + times.writeback_cycles
    run.found.step_ends[t] = run.state[START] - run.start
    run.state[STEP] = t + 1
    if t + 1 == run.reuse_bits.shape[0]:
        run.state[DONE] = 1
    else:
        _start_step(run, times)
