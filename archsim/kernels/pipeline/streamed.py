"""Passes co-simulated with main memory, because weights stream, or the only bank is being filled while it is read.

Every unit follows the recurrence of SEMANTICS 2.2 until it needs a time that is not known yet, above all the arrival of
a row; `advance_unit` resumes it after that. All cycles count from the start of the simulation.

Must agree with the neuron level (SEMANTICS 2.2 and 2.3): `sim/machines/epur/units`, with `row_fetcher.py` for the rows.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from archsim.kernels.arrays import I64, U8, Bools
from archsim.kernels.dram.fill_ports import contended_read_end
from archsim.kernels.jit import inner, outer
from archsim.kernels.pipeline.recurrence import (
    EVALUATED,
    FIRST_ISSUE,
    FIRST_TAKEN,
    LAST_DECISION,
    LAST_FREE,
    ON_CREDIT,
    ON_DECISION,
    ON_RESULTS,
    ON_WEIGHTS,
    REUSED,
    PassTimes,
    StepTimes,
    decision_cycle,
    delivery_cycle,
    empty_times,
    free_cycle,
    issue_cycle,
    take_cycle,
    update_cycle,
)

STEP, STEP_START, N_UPDATED, PASS_REQUESTS, IS_OVER = PROGRESS = range(5)
"""Progress of the pass: its step t, S_t, hidden units updated in this step, rows requested in all steps, and a flag."""
N_ISSUED, N_TAKEN, N_DELIVERED, ISSUE_CYCLE, FREE_CYCLE, DELIVERY_CYCLE = range(6)
"""Progress of a computation unit in this step: neurons issued, taken and delivered, and u, free and r of the last."""
EVALUATION_START, EVALUATION_END = 6, 7
"""Cycles of the evaluation in flight, while a neuron is taken and not delivered; fills may still postpone its end."""
NEXT_ROW, UNIT_REQUESTS, N_READ = 8, 9, 10
"""Rows of a unit in this step: the first neuron whose row may be requested, rows requested, and rows read."""
UNIT_FIELDS = 11
ON_CHIP = 0
"""Arrival of a row that need not be fetched. No cycle is below 0, so it delays nothing."""
NOT_ARRIVED = -1
"""Arrival of a row that is still to come."""
FOREIGN = -1
"""Entry of a transfer that fetches no row of this pass, because another requester submitted it."""


class PassState(NamedTuple):
    """Inputs and progress of a pass in flight."""

    reuse_bits: U8
    """(T, ceil(G·H / 8)) decisions as `numpy.packbits` lays them out, gate-major; 1 = reused."""
    resident: Bools
    """(H,) hidden units whose rows stay on chip, in every gate."""
    addresses: I64
    """(G,) bytes, the address of each gate's first row."""
    transfer_ids: I64
    """(G, S) ids of the transfers a gate may have in flight, one for each row slot of its weight buffer."""
    transfer_rows: I64
    """(n,) row that each transfer of the memory fetches, as k·H + n, or FOREIGN."""
    row_bytes: int
    shares_bank: bool
    """Whether the dot product units read the bank that is being filled."""
    start: int
    """S_0."""
    progress: I64
    """(5,)."""
    cus: I64
    """(G, UNIT_FIELDS) progress of each computation unit."""
    decided_at: I64
    """(G, H) f[k,n] of this step."""
    taken_at: I64
    """(G, H) a[k,n]."""
    arrived_at: I64
    """(G, H) cycle at which a row arrived, or ON_CHIP or NOT_ARRIVED."""
    delivered_at: I64
    """(G, H) r[k,n]."""
    updated_at: I64
    """(H,) m[n]."""
    slot_free_at: I64
    """(G, S) cycle from which a row slot is free."""
    result: PassTimes


def pass_before_start(
    reuse_bits: U8, resident: Bools, addresses: I64, transfer_ids: I64, *,
    row_bytes: int, n_transfers: int, shares_bank: bool, start: int, step_times: StepTimes, spans: bool,
) -> PassState:  # fmt: skip
    """Return a pass that has entered its first step at cycle `start`; the memory knows `n_transfers` transfers."""
    n_gates, n_units = transfer_ids.shape[0], resident.size
    state = PassState(
        reuse_bits=reuse_bits,
        resident=resident,
        addresses=addresses,
        transfer_ids=transfer_ids,
        transfer_rows=np.full(n_transfers, FOREIGN, np.int64),
        row_bytes=row_bytes,
        shares_bank=shares_bank,
        start=start,
        progress=np.zeros(len(PROGRESS), np.int64),
        cus=np.zeros((n_gates, UNIT_FIELDS), np.int64),
        decided_at=np.zeros((n_gates, n_units), np.int64),
        taken_at=np.zeros((n_gates, n_units), np.int64),
        arrived_at=np.zeros((n_gates, n_units), np.int64),
        delivered_at=np.zeros((n_gates, n_units), np.int64),
        updated_at=np.zeros(n_units, np.int64),
        slot_free_at=np.zeros(transfer_ids.shape, np.int64),
        result=empty_times(reuse_bits.shape[0], n_gates, spans=spans),
    )
    state.progress[STEP_START] = start
    _enter_first_step(state, step_times)
    return state


@outer
def _enter_first_step(state, step_times):
    _enter_step(state, step_times)


@inner
def _enter_step(state, step_times):
    start = state.progress[STEP_START]  # S_t
    state.progress[N_UPDATED] = 0
    # u[k,-1] is set to S_t - c_f, so that neuron 0 is issued at S_t.
    for k in range(state.cus.shape[0]):
        state.cus[k, :] = 0
        state.cus[k, FREE_CYCLE] = start  # free[k,-1]
        state.cus[k, DELIVERY_CYCLE] = start
        state.cus[k, ISSUE_CYCLE] = start - step_times.issue_cycles
        for n in range(state.resident.size):
            state.arrived_at[k, n] = ON_CHIP if state.resident[n] else NOT_ARRIVED
        if not step_times.has_memo:
            # Memo off: f = S_t, so that all neurons count as issued and decided.
            state.cus[k, N_ISSUED] = state.resident.size
            state.decided_at[k, :] = start


@inner
def is_reused(state, k, n):
    """Return the decision on a neuron of this step."""
    bit = k * state.resident.size + n
    return (state.reuse_bits[state.progress[STEP], bit >> 3] >> (7 - (bit & 7))) & 1


@inner
def advance_units(state, step_times, memory):
    """Advance all units until each needs a time that is not known yet."""
    for k in range(state.cus.shape[0]):
        advance_unit(state, step_times, memory, k)


@inner
def advance_unit(state, step_times, memory, k):
    """Advance unit k, the only one that a time became known for, and the others after each cell update."""
    _issue_and_take(state, step_times, memory, k)
    # Unit k alone has news; the others go on only where a cell update returns a credit.
    while _update(state, step_times):
        for other in range(state.cus.shape[0]):
            _issue_and_take(state, step_times, memory, other)


@inner
def _issue_and_take(state, step_times, memory, k):
    # A taken neuron returns a credit of the decisions, so issuing and taking alternate until neither is possible.
    while _issue(state, step_times, k) or _take(state, step_times, memory, k):
        pass


@inner
def _issue(state, step_times, k):
    """Let the memoization unit issue its next neuron; return whether it did."""
    unit = state.cus[k]
    n, credit_at = unit[N_ISSUED], state.progress[STEP_START]
    if n == state.resident.size:
        return False
    if n >= step_times.run_ahead:
        # The credit of the decisions comes back when neuron n - Q is taken; until then its time is not known.
        if unit[N_TAKEN] <= n - step_times.run_ahead:
            return False
        credit_at = state.taken_at[k, n - step_times.run_ahead]  # a[k,n-Q]
    issue = issue_cycle(unit[ISSUE_CYCLE], credit_at, step_times)  # u[k,n]
    state.result.tally[k, ON_CREDIT] += issue - (unit[ISSUE_CYCLE] + step_times.issue_cycles)
    state.decided_at[k, n] = decision_cycle(issue, step_times)  # f[k,n]
    unit[ISSUE_CYCLE] = issue
    unit[N_ISSUED] = n + 1
    return True


@inner
def _take(state, step_times, memory, k):
    """Let the dot product unit take its next neuron; return whether it did."""
    unit = state.cus[k]
    n, credit_at = unit[N_TAKEN], state.progress[STEP_START]
    # While the evaluation before is in flight, its end is provisional; a neuron that is not issued has no decision.
    if unit[N_DELIVERED] < n or n >= unit[N_ISSUED]:
        return False
    if n >= step_times.result_lag:
        # The credit of the results comes back when hidden unit n - Q_m is updated.
        if state.progress[N_UPDATED] <= n - step_times.result_lag:
            return False
        credit_at = state.updated_at[n - step_times.result_lag]  # m[n-Q_m]
    reused = is_reused(state, k, n)
    # A memoized value needs no row.
    arrived_at = ON_CHIP if reused else state.arrived_at[k, n]
    if arrived_at == NOT_ARRIVED:
        return False
    taken_at, on_decision, on_weights, on_results = take_cycle(
        unit[FREE_CYCLE], state.decided_at[k, n], arrived_at, credit_at
    )
    tally = state.result.tally[k]
    tally[ON_DECISION] += on_decision
    tally[ON_WEIGHTS] += on_weights
    tally[ON_RESULTS] += on_results
    tally[REUSED] += reused
    tally[EVALUATED] += 1 - reused
    state.taken_at[k, n] = taken_at  # a[k,n]
    unit[N_TAKEN] = n + 1
    free_at = free_cycle(taken_at, reused, step_times)
    if reused:
        _deliver(state, step_times, k, free_at, reused)
    elif state.shares_bank:
        # Later fills may still take cycles, so the end is provisional; cosimulation.py confirms or postpones it.
        unit[EVALUATION_START] = taken_at
        unit[EVALUATION_END] = contended_read_end(memory, k, taken_at, step_times.dot_cycles)
    else:
        finish_evaluation(state, step_times, k, free_at)
    return True


@inner
def finish_evaluation(state, step_times, k, end):
    """End unit k's evaluation at a cycle, deliver its product, and free the slot of its row if that was fetched."""
    unit = state.cus[k]
    # Rows are read in the order in which they were requested, so the slots go round.
    if not state.resident[unit[N_DELIVERED]]:
        state.slot_free_at[k, unit[N_READ] % state.slot_free_at.shape[1]] = end
        unit[N_READ] += 1
    _deliver(state, step_times, k, end, 0)


@inner
def _deliver(state, step_times, k, free_at, reused):
    unit = state.cus[k]
    unit[DELIVERY_CYCLE] = delivery_cycle(unit[DELIVERY_CYCLE], free_at, reused, step_times)  # r[k,n]
    unit[FREE_CYCLE] = free_at  # free[k,n]
    state.delivered_at[k, unit[N_DELIVERED]] = unit[DELIVERY_CYCLE]
    unit[N_DELIVERED] += 1


@inner
def _update(state, step_times):
    """Let the multi-functional unit start its next cell update; return whether it did."""
    n, ready = state.progress[N_UPDATED], state.progress[STEP_START]
    if n == state.resident.size:
        return False
    # Gates meet here: the cell needs the products of all of them.
    for k in range(state.cus.shape[0]):
        if state.cus[k, N_DELIVERED] <= n:
            return False
        ready = max(ready, state.delivered_at[k, n])  # max over k of r[k,n]
    # m[-1] is S_t - II_m, so that the first cell may start at S_t.
    last_update = state.updated_at[n - 1] if n > 0 else state.progress[STEP_START] - step_times.update_interval_cycles
    update, on_products = update_cycle(last_update, ready, step_times)
    state.updated_at[n] = update  # m[n]
    state.result.update_wait[0] += on_products
    state.progress[N_UPDATED] = n + 1
    return True


@inner
def end_step(state, step_times):
    """Record the end of the step and enter the next, or mark the pass as over."""
    t, last, result = state.progress[STEP], state.resident.size - 1, state.result
    end = state.updated_at[last] + step_times.update_pipeline_cycles  # e[H-1] = m[H-1] + L_m
    if t < result.spans.shape[0]:  # empty unless spans were asked for
        for k in range(state.cus.shape[0]):
            result.spans[t, k, FIRST_ISSUE] = state.progress[STEP_START] - state.start
            result.spans[t, k, LAST_DECISION] = state.decided_at[k, last] - state.start
            result.spans[t, k, FIRST_TAKEN] = state.taken_at[k, 0] - state.start
            result.spans[t, k, LAST_FREE] = state.cus[k, FREE_CYCLE] - state.start
        result.update_spans[t, 0] = state.updated_at[0] - state.start
        result.update_spans[t, 1] = end - state.start
    state.progress[STEP_START] = end + step_times.writeback_cycles  # S_{t+1} = e[H-1] + L_w
    result.step_ends[t] = state.progress[STEP_START] - state.start
    state.progress[STEP] = t + 1
    if t + 1 == state.reuse_bits.shape[0]:
        state.progress[IS_OVER] = 1
    else:
        _enter_step(state, step_times)
