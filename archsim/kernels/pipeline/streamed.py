"""The units of a pass whose weights are not all on chip: the recurrence of SEMANTICS 2.2, resumable.

Every unit goes on until it needs a cycle that is not known yet, above all the arrival of a row of weights. Calling
`advance_unit` again after such a cycle became known resumes it. All cycles count from the start of the simulation.

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

STEP, STEP_START, N_UPDATED, N_REQUESTS, IS_OVER = PROGRESS = range(5)
"""Progress of the pass: its step t, S_t, cells updated in this step, rows requested in all steps, and a flag."""
N_ISSUED, N_TAKEN, N_DELIVERED, ISSUE_CYCLE, FREE_CYCLE, DELIVERY_CYCLE = range(6)
"""Progress of a computation unit in this step: neurons issued, taken and delivered, and u, free and r of the last."""
EVALUATION_START, EVALUATION_END = 6, 7
"""Cycles of the evaluation in flight, while a neuron is taken and not delivered; fills may still postpone its end."""
NEXT_ROW, N_REQUESTED, N_READ = 8, 9, 10
"""Rows of a unit in this step: the first neuron whose row may be requested, rows requested, and rows read."""
UNIT_FIELDS = 11
NOT_ARRIVED = -1
FOREIGN = -1
"""A transfer that fetches no row of this pass."""


class PassState(NamedTuple):
    """Inputs and progress of a pass in flight."""

    reuse_bits: U8
    """(T, ceil(G·H / 8)) decisions as `numpy.packbits` lays them out, gate-major; 1 = reused."""
    resident: Bools
    """(H,) neurons whose weights stay on chip."""
    addresses: I64
    """(G,) bytes, the address of each gate's first row."""
    transfers: I64
    """(G, S) transfers a gate may have in flight, one for each row slot of its weight buffer."""
    transfer_rows: I64
    """(n,) row that each transfer of the memory fetches, as k·H + n, or FOREIGN."""
    row_bytes: int
    shares_bank: bool
    """Whether the dot product units read the bank that is being filled."""
    start: int
    """S_0."""
    progress: I64
    """(5,)."""
    units: I64
    """(G, UNIT_FIELDS)."""
    decided: I64
    """(G, H) f[k,n] of this step."""
    taken: I64
    """(G, H) a[k,n]."""
    arrived: I64
    """(G, H) arrival of a row: 0 if it is resident, NOT_ARRIVED if it is still to come."""
    delivered: I64
    """(G, H) r[k,n]."""
    updated: I64
    """(H,) m[n]."""
    slot_free: I64
    """(G, S) cycle from which a row slot is free."""
    result: PassTimes


def pass_before_start(
    reuse_bits: U8, resident: Bools, addresses: I64, transfers: I64, *,
    row_bytes: int, n_transfers: int, shares_bank: bool, start: int, times: StepTimes, spans: bool,
) -> PassState:  # fmt: skip
    """Return a pass that has entered its first step at cycle `start`; the memory knows `n_transfers` transfers."""
    n_gates, n_units = transfers.shape[0], resident.size
    state = PassState(
        reuse_bits=reuse_bits,
        resident=resident,
        addresses=addresses,
        transfers=transfers,
        transfer_rows=np.full(n_transfers, FOREIGN, np.int64),
        row_bytes=row_bytes,
        shares_bank=shares_bank,
        start=start,
        progress=np.zeros(len(PROGRESS), np.int64),
        units=np.zeros((n_gates, UNIT_FIELDS), np.int64),
        decided=np.zeros((n_gates, n_units), np.int64),
        taken=np.zeros((n_gates, n_units), np.int64),
        arrived=np.zeros((n_gates, n_units), np.int64),
        delivered=np.zeros((n_gates, n_units), np.int64),
        updated=np.zeros(n_units, np.int64),
        slot_free=np.zeros(transfers.shape, np.int64),
        result=empty_times(reuse_bits.shape[0], n_gates, spans=spans),
    )
    state.progress[STEP_START] = start
    _enter_first_step(state, times)
    return state


@outer
def _enter_first_step(state, times):
    _enter_step(state, times)


@inner
def _enter_step(state, times):
    start = state.progress[STEP_START]  # S_t
    state.progress[N_UPDATED] = 0
    # The first neuron of a step waits for no earlier one: then u[k,0] = S_t, because u[k,-1] = S_t - c_f.
    for k in range(state.units.shape[0]):
        state.units[k, :] = 0
        state.units[k, FREE_CYCLE] = start  # free[k,-1]
        state.units[k, DELIVERY_CYCLE] = start
        state.units[k, ISSUE_CYCLE] = start - times.issue_cycles
        for n in range(state.resident.size):
            state.arrived[k, n] = 0 if state.resident[n] else NOT_ARRIVED
        if not times.has_memo:
            # Memo off: f = S_t, so that all neurons count as issued and decided.
            state.units[k, N_ISSUED] = state.resident.size
            state.decided[k, :] = start


@inner
def is_reused(state, k, n):
    """Return the decision on a neuron of this step."""
    bit = k * state.resident.size + n
    return (state.reuse_bits[state.progress[STEP], bit >> 3] >> (7 - (bit & 7))) & 1


@inner
def advance_units(state, times, memory):
    """Advance all units until each needs a cycle that is not known yet."""
    for k in range(state.units.shape[0]):
        advance_unit(state, times, memory, k)


@inner
def advance_unit(state, times, memory, k):
    """Advance unit k, the only one with new input; the others can only gain from the cell updates that follow."""
    _issue_and_take(state, times, memory, k)
    # A cell update returns a credit to every gate, so that all may go on; units far from a credit return at once.
    while _update(state, times):
        for other in range(state.units.shape[0]):
            _issue_and_take(state, times, memory, other)


@inner
def _issue_and_take(state, times, memory, k):
    # Each taken neuron returns a run-ahead credit, so that issuing and taking alternate until neither is possible.
    while _issue(state, times, k) or _take(state, times, memory, k):
        pass


@inner
def _issue(state, times, k):
    """Let the memoization unit issue its next neuron; return whether it could."""
    unit = state.units[k]
    n, credit = unit[N_ISSUED], state.progress[STEP_START]
    if n == state.resident.size:
        return False
    if n >= times.run_ahead:
        # The credit is that of neuron n - Q. Its a[k,n-Q] is known only once it is taken; until then, stop here.
        if unit[N_TAKEN] <= n - times.run_ahead:
            return False
        credit = state.taken[k, n - times.run_ahead]  # a[k,n-Q]
    issue = issue_cycle(unit[ISSUE_CYCLE], credit, times)  # u[k,n]
    state.result.tally[k, ON_CREDIT] += issue - (unit[ISSUE_CYCLE] + times.issue_cycles)
    state.decided[k, n] = decision_cycle(issue, times)  # f[k,n]
    unit[ISSUE_CYCLE] = issue
    unit[N_ISSUED] = n + 1
    return True


@inner
def _take(state, times, memory, k):
    """Let the dot product unit take its next neuron; return whether all it waits for is known."""
    unit = state.units[k]
    n, credit = unit[N_TAKEN], state.progress[STEP_START]
    # An evaluation still in flight has no end yet, and a neuron not issued no decision.
    if unit[N_DELIVERED] < n or n >= unit[N_ISSUED]:
        return False
    if n >= times.result_lag:
        if state.progress[N_UPDATED] <= n - times.result_lag:
            return False
        credit = state.updated[n - times.result_lag]  # m[n-Q_m]
    reused = is_reused(state, k, n)
    # A memoized value needs no row: like a resident one, it arrived at 0.
    arrived = 0 if reused else state.arrived[k, n]
    if arrived == NOT_ARRIVED:
        return False
    taken, on_decision, on_weights, on_results = take_cycle(unit[FREE_CYCLE], state.decided[k, n], arrived, credit)
    tally = state.result.tally[k]
    tally[ON_DECISION] += on_decision
    tally[ON_WEIGHTS] += on_weights
    tally[ON_RESULTS] += on_results
    tally[REUSED] += reused
    tally[EVALUATED] += 1 - reused
    state.taken[k, n] = taken  # a[k,n]
    unit[N_TAKEN] = n + 1
    free = free_cycle(taken, reused, times)
    if reused:
        _deliver(state, times, k, free, reused)
    elif state.shares_bank:
        # Fills go first and are known only up to now, so the evaluation stays in flight until its end has come.
        unit[EVALUATION_START] = taken
        unit[EVALUATION_END] = contended_read_end(memory, k, taken, times.dot_cycles)
    else:
        finish_evaluation(state, times, k, free)
    return True


@inner
def finish_evaluation(state, times, k, end):
    """End unit k's evaluation at a cycle, deliver its product, and free the slot of its row if that was fetched."""
    unit = state.units[k]
    # Rows are read in the order in which they were requested, so the slots go round.
    if not state.resident[unit[N_DELIVERED]]:
        state.slot_free[k, unit[N_READ] % state.slot_free.shape[1]] = end
        unit[N_READ] += 1
    _deliver(state, times, k, end, 0)


@inner
def _deliver(state, times, k, free, reused):
    unit = state.units[k]
    unit[DELIVERY_CYCLE] = delivery_cycle(unit[DELIVERY_CYCLE], free, reused, times)  # r[k,n]
    unit[FREE_CYCLE] = free  # free[k,n]
    state.delivered[k, unit[N_DELIVERED]] = unit[DELIVERY_CYCLE]
    unit[N_DELIVERED] += 1


@inner
def _update(state, times):
    """Let the multi-functional unit start its next cell update; return whether all products of the cell are known."""
    n, ready = state.progress[N_UPDATED], state.progress[STEP_START]
    if n == state.resident.size:
        return False
    # Gates meet here: the cell needs the products of all of them.
    for k in range(state.units.shape[0]):
        if state.units[k, N_DELIVERED] <= n:
            return False
        ready = max(ready, state.delivered[k, n])  # max over k of r[k,n]
    # m[-1] is S_t - II_m, so that the first cell may start at S_t.
    last_update = state.updated[n - 1] if n > 0 else state.progress[STEP_START] - times.update_interval_cycles
    update, on_products = update_cycle(last_update, ready, times)
    state.updated[n] = update  # m[n]
    state.result.update_wait[0] += on_products
    state.progress[N_UPDATED] = n + 1
    return True


@inner
def end_step(state, times):
    """Record the end of the step and enter the next, or mark the pass as over."""
    t, last, result = state.progress[STEP], state.resident.size - 1, state.result
    end = state.updated[last] + times.update_pipeline_cycles  # e[H-1] = m[H-1] + L_m
    if t < result.spans.shape[0]:
        for k in range(state.units.shape[0]):
            result.spans[t, k, FIRST_ISSUE] = state.progress[STEP_START] - state.start
            result.spans[t, k, LAST_DECISION] = state.decided[k, last] - state.start
            result.spans[t, k, FIRST_TAKEN] = state.taken[k, 0] - state.start
            result.spans[t, k, LAST_FREE] = state.units[k, FREE_CYCLE] - state.start
        result.update_spans[t, 0] = state.updated[0] - state.start
        result.update_spans[t, 1] = end - state.start
    state.progress[STEP_START] = end + times.writeback_cycles  # S_{t+1} = e[H-1] + L_w
    result.step_ends[t] = state.progress[STEP_START] - state.start
    state.progress[STEP] = t + 1
    if t + 1 == state.reuse_bits.shape[0]:
        state.progress[IS_OVER] = 1
    else:
        _enter_step(state, times)
