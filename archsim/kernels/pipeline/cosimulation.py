"""Co-simulation of a streamed pass and main memory: rows are requested as their neurons are decided, and waited for.

Units advance as far as known cycles take them. Then the earliest of three things happens: an evaluation ends that
shares its bank with fills, a row is requested, or the memory issues a column command. That order is exact, because
neither side can still cause anything earlier.

Must agree with the neuron level (SEMANTICS 2.3): `sim/machines/epur/units/row_fetcher.py`.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from archsim.kernels.dram.channel import NEVER
from archsim.kernels.dram.fill_ports import contended_read_end
from archsim.kernels.dram.frfcfs import next_column, serve
from archsim.kernels.dram.requests import FINISH_PS, ORDER_SHIFT, submit
from archsim.kernels.jit import inner, outer
from archsim.kernels.pipeline.pass_state import (
    EVALUATION_END,
    EVALUATION_START,
    FOREIGN,
    IS_OVER,
    N_DELIVERED,
    N_ISSUED,
    N_READ,
    N_TAKEN,
    N_UPDATED,
    NEXT_ROW,
    PASS_REQUESTS,
    UNIT_REQUESTS,
)
from archsim.kernels.pipeline.recurrence import ON_BANK
from archsim.kernels.pipeline.streamed import (
    advance_unit,
    advance_units,
    end_step,
    finish_evaluation,
    is_reused,
)


@outer
def advance_pass(state, step_times, memory, dram_times, until_ps, finished):
    """Advance to `until_ps`, to the first finished transfer of another requester, or to the end of the pass.

    Stops at whichever comes first. Writes transfers of other requesters that finished to `finished`; returns their
    number and the time of what happens next.
    """
    n_finished, period_ps = 0, memory.period_ps
    advance_units(state, step_times, memory)
    while True:
        while state.progress[N_UPDATED] == state.resident.size:
            end_step(state, step_times)
            if state.progress[IS_OVER]:
                return n_finished, NEVER
            advance_units(state, step_times, memory)
        request, requester = _next_request(state)
        end, evaluator = _next_evaluation_end(state)
        request_ps, end_ps = _to_ps(request, period_ps), _to_ps(end, period_ps)
        column, channel, age = next_column(memory, dram_times, min(until_ps, request_ps, end_ps) // dram_times.cycle_ps)
        column_ps = _to_ps(column, dram_times.cycle_ps)
        next_ps = min(column_ps, request_ps, end_ps)
        if next_ps > until_ps or n_finished == finished.size:
            return n_finished, next_ps
        # At equal times an evaluation ends first, because that may free the slot for a row, and a row is requested
        # before the memory chooses its next command, because the request may be the one to choose.
        if end_ps == next_ps:
            _end_or_postpone(state, step_times, memory, evaluator)
        elif request_ps == next_ps:
            _request_row(state, memory, dram_times, requester, request)
        elif age >= 0:
            transfer = serve(memory, dram_times, channel, age)
            if transfer >= 0 and state.transfer_rows[transfer] == FOREIGN:
                # Somebody outside waits for it and may act on it, so that time must not pass its finish.
                finished[n_finished] = transfer
                n_finished += 1
                until_ps = min(until_ps, memory.transfers[transfer, FINISH_PS])
            elif transfer >= 0:
                k, n = divmod(state.transfer_rows[transfer], state.resident.size)
                state.arrived_at[k, n] = memory.transfers[transfer, FINISH_PS] // period_ps
                advance_unit(state, step_times, memory, k)
        else:
            return n_finished, next_ps


@inner
def _to_ps(cycle, period_ps):
    return cycle * period_ps if cycle < NEVER else NEVER


@inner
def _next_request(state):
    """Return (cycle, unit) of the next request for a row; the cycle is NEVER if it is not known yet."""
    first, requester = NEVER, 0
    for k in range(state.cus.shape[0]):
        unit, slots = state.cus[k], state.slot_free_at.shape[1]
        n = unit[NEXT_ROW]
        while n < unit[N_ISSUED] and (state.resident[n] or is_reused(state, k, n)):
            n += 1
        unit[NEXT_ROW] = n
        # A row needs a slot. The slot of request i becomes free when row i - S is read; before that, its cycle is
        # not known, and the unit asks again after it has advanced.
        requested = unit[UNIT_REQUESTS]
        if n == unit[N_ISSUED] or unit[N_READ] <= requested - slots:
            continue
        cycle = state.decided_at[k, n]
        if requested >= slots:
            cycle = max(cycle, state.slot_free_at[k, requested % slots])
        if cycle < first:
            first, requester = cycle, k
    return first, requester


@inner
def _request_row(state, memory, dram_times, k, cycle):
    unit = state.cus[k]
    n, transfer = unit[NEXT_ROW], state.transfer_ids[k, unit[UNIT_REQUESTS] % state.transfer_ids.shape[1]]
    state.transfer_rows[transfer] = k * state.resident.size + n
    # The neuron level submits in another order within a cycle, so the unit counts before the count of requests.
    order = (k << ORDER_SHIFT) + state.progress[PASS_REQUESTS]
    address = state.addresses[k] + n * state.row_bytes
    submit(
        memory, dram_times, transfer, address, state.row_bytes, 0, cycle * memory.period_ps, order, k, state.row_bytes
    )
    state.progress[PASS_REQUESTS] += 1
    unit[UNIT_REQUESTS] += 1
    unit[NEXT_ROW] = n + 1


@inner
def _next_evaluation_end(state):
    """Return (cycle, unit) of the first evaluation in flight to end; the cycle is NEVER if there is none."""
    first, evaluator = NEVER, 0
    for k in range(state.cus.shape[0]):
        in_flight = state.cus[k, N_DELIVERED] < state.cus[k, N_TAKEN]
        if in_flight and state.cus[k, EVALUATION_END] < first:
            first, evaluator = state.cus[k, EVALUATION_END], k
    return first, evaluator


@inner
def _end_or_postpone(state, step_times, memory, k):
    """End unit k's evaluation, or postpone its end if fills that became known meanwhile take cycles of its bank."""
    start, end = state.cus[k, EVALUATION_START], state.cus[k, EVALUATION_END]
    postponed = contended_read_end(memory, k, start, step_times.dot_cycles)
    if postponed > end:
        state.cus[k, EVALUATION_END] = postponed
    else:
        state.result.tally[k, ON_BANK] += end - start - step_times.dot_cycles
        finish_evaluation(state, step_times, k, end)
        advance_unit(state, step_times, memory, k)
