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
from archsim.kernels.dram.requests import FINISH_PS
from archsim.kernels.jit import inner, outer
from archsim.kernels.pipeline.pass_state import (
    EVALUATION_END,
    EVALUATION_START,
    FOREIGN,
    IS_OVER,
    N_DELIVERED,
    N_TAKEN,
    N_UPDATED,
)
from archsim.kernels.pipeline.recurrence import ON_BANK
from archsim.kernels.pipeline.streamed import (
    advance_unit,
    advance_units,
    end_step,
    finish_evaluation,
)
from archsim.kernels.pipeline.weight_requests import next_request, receive_weights, request_weights, to_ps


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
        request, requester = next_request(state)
        end, evaluator = _next_evaluation_end(state)
        request_ps, end_ps = to_ps(request, period_ps), to_ps(end, period_ps)
        column, channel, age = next_column(memory, dram_times, min(until_ps, request_ps, end_ps) // dram_times.cycle_ps)
        column_ps = to_ps(column, dram_times.cycle_ps)
        next_ps = min(column_ps, request_ps, end_ps)
        if next_ps > until_ps or n_finished == finished.size:
            return n_finished, next_ps
        # At equal times an evaluation ends first, because that may free the slot for a row, and a row is requested
        # before the memory chooses its next command, because the request may be the one to choose.
        if end_ps == next_ps:
            _end_or_postpone(state, step_times, memory, evaluator)
        elif request_ps == next_ps:
            request_weights(state, memory, dram_times, requester, request)
        elif age >= 0:
            transfer = serve(memory, dram_times, channel, age)
            if transfer >= 0 and state.transfer_items[transfer] == FOREIGN:
                # Somebody outside waits for it and may act on it, so that time must not pass its finish.
                finished[n_finished] = transfer
                n_finished += 1
                until_ps = min(until_ps, memory.transfers[transfer, FINISH_PS])
            elif transfer >= 0:
                advance_unit(state, step_times, memory, receive_weights(state, memory, transfer))
        else:
            return n_finished, next_ps


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
