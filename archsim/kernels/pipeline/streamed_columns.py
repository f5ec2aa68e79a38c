"""Column-skipping passes co-simulated with main memory, because their weights stream (SEMANTICS 2.3).

Columns reach the gates at different times, so every computation unit follows the recurrence of `columns.py` by itself,
until it needs the arrival of a column that is not known yet. Then the earlier of two things happens: a column is
requested, or the memory issues a column command. That order is exact, because neither side can still cause anything
earlier. All cycles count from the start of the simulation.

Must agree with the neuron level: `sim/machines/delta/units`, with `column_fetcher.py` for the requests.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from archsim.kernels.dram.channel import NEVER
from archsim.kernels.dram.frfcfs import next_column, serve
from archsim.kernels.dram.requests import FINISH_PS
from archsim.kernels.jit import inner, outer
from archsim.kernels.pipeline.column_state import N_ENTERING, N_PLACED, PLACE_CYCLE, SCAN_CYCLE, SCAN_GROUP
from archsim.kernels.pipeline.columns import (
    COLUMN_FIRST_UPDATE,
    COLUMN_LAST_UPDATE,
    ENTERED,
    FIRST_COLUMN,
    LAST_COLUMN,
    ON_CODES,
    ON_COLUMN,
    ON_COLUMN_WEIGHTS,
    ON_SLOT,
    ON_SUMS,
    ON_TAIL,
    SCANNED,
    last_update_cycle,
    sums_ready_cycle,
    wait_for_codes,
)
from archsim.kernels.pipeline.pass_state import (
    FOREIGN,
    FREE_CYCLE,
    IS_OVER,
    N_ISSUED,
    N_READ,
    N_TAKEN,
    NOT_ARRIVED,
    ON_CHIP,
    STEP,
    STEP_START,
)
from archsim.kernels.pipeline.recurrence import take_cycle
from archsim.kernels.pipeline.weight_requests import is_reused, next_request, receive_weights, request_weights, to_ps


@outer
def enter_first_column_step(state):
    """Enter the first step of a pass that nothing has happened in."""
    _enter_step(state)


@inner
def _enter_step(state):
    start, n_entering = state.progress[STEP_START], 0
    for i in range(state.resident.size):
        if not is_reused(state, 0, i):
            state.entering[n_entering] = i
            n_entering += 1
    state.progress[N_ENTERING] = n_entering
    state.cus[:] = 0
    for k in range(state.cus.shape[0]):
        state.cus[k, SCAN_CYCLE] = start  # s[0]
        state.cus[k, PLACE_CYCLE] = start
        state.cus[k, FREE_CYCLE] = start  # free[k,-1]
        for i in range(state.resident.size):
            state.arrived_at[k, i] = ON_CHIP if state.resident[i] else NOT_ARRIVED


@outer
def advance_column_pass(state, column_times, memory, dram_times, until_ps, finished):
    """Advance to `until_ps`, to the first finished transfer of another requester, or to the end of the pass.

    Stops at whichever comes first. Writes transfers of other requesters that finished to `finished`; returns their
    number and the time of what happens next.
    """
    n_finished, period_ps = 0, memory.period_ps
    for k in range(state.cus.shape[0]):
        _advance_unit(state, column_times, k)
    while True:
        while _all_taken(state):
            _end_step(state, column_times)
            if state.progress[IS_OVER]:
                return n_finished, NEVER
            _enter_step(state)
            for k in range(state.cus.shape[0]):
                _advance_unit(state, column_times, k)
        request, requester = next_request(state)
        request_ps = to_ps(request, period_ps)
        column, channel, age = next_column(memory, dram_times, min(until_ps, request_ps) // dram_times.cycle_ps)
        next_ps = min(to_ps(column, dram_times.cycle_ps), request_ps)
        if next_ps > until_ps or n_finished == finished.size:
            return n_finished, next_ps
        # At equal times a column is requested first, because that request may be the one for the memory to serve next.
        if request_ps == next_ps:
            request_weights(state, memory, dram_times, requester, request)
        elif age >= 0:
            transfer = serve(memory, dram_times, channel, age)
            if transfer >= 0 and state.transfer_items[transfer] == FOREIGN:
                # Somebody outside waits for it and may act on it, so that time must not pass its finish.
                finished[n_finished] = transfer
                n_finished += 1
                until_ps = min(until_ps, memory.transfers[transfer, FINISH_PS])
            elif transfer >= 0:
                _advance_unit(state, column_times, receive_weights(state, memory, transfer))
        else:
            return n_finished, next_ps


@inner
def _all_taken(state):
    fewest = state.progress[N_ENTERING]
    for k in range(state.cus.shape[0]):
        fewest = min(fewest, state.cus[k, N_TAKEN])
    return fewest == state.progress[N_ENTERING]


@inner
def _advance_unit(state, column_times, k):
    # A column that is taken gives its slot back, so placing and taking alternate until neither is possible.
    while _place(state, column_times, k) or _take(state, column_times, k):
        pass


@inner
def _place(state, column_times, k):
    """Give the next column its slot among those that wait for the dot product unit; return whether it has one."""
    unit = state.cus[k]
    j = unit[N_PLACED]
    if j == state.progress[N_ENTERING]:
        return False
    credit = state.progress[STEP_START]
    if j >= column_times.queue_slots:
        if unit[N_TAKEN] <= j - column_times.queue_slots:
            return False
        credit = state.taken_at[k, j - column_times.queue_slots]  # a[j-Q]
    i = state.entering[j]
    may_place = max(_scan_until(unit, i // column_times.width), unit[PLACE_CYCLE])
    placed = max(may_place, credit)  # p[j]
    state.result.tally[k, ON_SLOT] += placed - may_place
    state.decided_at[k, i] = placed + column_times.latency_cycles
    unit[PLACE_CYCLE] = placed
    unit[N_PLACED] = j + 1
    unit[N_ISSUED] = i + 1
    return True


@inner
def _scan_until(unit, group):
    """Scan up to a group of elements; return s[g]."""
    if group > unit[SCAN_GROUP]:
        # s[g] = max(s[g-1], p[last j of group g-1]) + 1, and the groups between have no columns.
        unit[SCAN_CYCLE] = max(unit[SCAN_CYCLE], unit[PLACE_CYCLE]) + group - unit[SCAN_GROUP]
        unit[SCAN_GROUP] = group
    return unit[SCAN_CYCLE]


@inner
def _take(state, column_times, k):
    """Let the dot product unit take its next column; return whether it did."""
    unit = state.cus[k]
    j = unit[N_TAKEN]
    if j == unit[N_PLACED] or state.arrived_at[k, state.entering[j]] == NOT_ARRIVED:
        return False
    i = state.entering[j]
    # a[j] = max(p[j] + L, arrived, free[j-1]); no credit is needed, because sums wait in the accumulators.
    taken, on_column, on_weights, _ = take_cycle(unit[FREE_CYCLE], state.decided_at[k, i], state.arrived_at[k, i], 0)
    state.result.tally[k, ON_COLUMN] += on_column
    state.result.tally[k, ON_COLUMN_WEIGHTS] += on_weights
    state.taken_at[k, j] = taken
    unit[FREE_CYCLE] = taken + column_times.column_cycles  # free[j]
    unit[N_TAKEN] = j + 1
    if not state.resident[i]:
        # Columns are read in the order in which they were requested, so the slots go round.
        state.slot_free_at[k, unit[N_READ] % state.slot_free_at.shape[1]] = unit[FREE_CYCLE]
        unit[N_READ] += 1
    return True


@inner
def _end_step(state, column_times):
    """Record the end of the step, or of the pass."""
    t, result, start = state.progress[STEP], state.result, state.progress[STEP_START]
    n_entering, last_group = state.progress[N_ENTERING], (state.resident.size - 1) // column_times.width
    ready = last_scan = start
    for k in range(state.cus.shape[0]):
        unit = state.cus[k]
        scanned = _scan_until(unit, last_group)
        no_more = max(scanned, unit[PLACE_CYCLE]) + column_times.latency_cycles  # z
        result.tally[k, ENTERED] += n_entering
        result.tally[k, ON_COLUMN] += max(0, no_more - unit[FREE_CYCLE])
        result.tally[k, ON_CODES] += wait_for_codes(t, no_more - start, column_times)
        # The multi-functional unit needs the sums and the tails of all gates.
        ready = max(ready, sums_ready_cycle(n_entering, no_more, unit[FREE_CYCLE], column_times))
        last_scan = max(last_scan, no_more)
        if t < result.spans.shape[0]:  # empty unless spans were asked for
            result.spans[t, k, SCANNED] = no_more - state.start
            result.spans[t, k, FIRST_COLUMN] = (state.taken_at[k, 0] if n_entering > 0 else start) - state.start
            result.spans[t, k, LAST_COLUMN] = unit[FREE_CYCLE] - state.start
    last_update, on_tail = last_update_cycle(t, ready, last_scan, state.n_units, column_times)
    end = last_update + column_times.update_pipeline_cycles  # e[H-1] = m[H-1] + L_m
    for k in range(state.cus.shape[0]):
        result.tally[k, ON_SUMS] += ready - start
        result.tally[k, ON_TAIL] += on_tail
        if t < result.spans.shape[0]:
            result.spans[t, k, COLUMN_FIRST_UPDATE] = ready - state.start
            result.spans[t, k, COLUMN_LAST_UPDATE] = end - state.start
    state.progress[STEP_START] = end + column_times.writeback_cycles  # S_{t+1} = e[H-1] + L_w
    result.step_ends[t] = state.progress[STEP_START] - state.start
    state.progress[STEP] = t + 1
    state.progress[IS_OVER] = t + 1 == state.reuse_bits.shape[0]
