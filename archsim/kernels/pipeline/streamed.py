"""Passes co-simulated with main memory, because weights stream, or the only bank is being filled while it is read.

Every unit follows the recurrence of SEMANTICS 2.2 until it needs a time that is not known yet, above all the arrival of
a row; `advance_unit` resumes it after that. All cycles count from the start of the simulation.

Must agree with the neuron level (SEMANTICS 2.2 and 2.3): `sim/machines/epur/units`, with `row_fetcher.py` for the rows.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from archsim.kernels.dram.fill_ports import contended_read_end
from archsim.kernels.jit import inner, outer
from archsim.kernels.pipeline.pass_state import (
    DELIVERY_CYCLE,
    EVALUATION_END,
    EVALUATION_START,
    FREE_CYCLE,
    GROUP,
    IS_OVER,
    ISSUE_CYCLE,
    N_DELIVERED,
    N_ISSUED,
    N_READ,
    N_STARTED,
    N_TAKEN,
    N_UPDATED,
    NOT_ARRIVED,
    ON_CHIP,
    STEP,
    STEP_START,
    UNIT_START,
    UPDATES_START,
)
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
    decision_cycle,
    delivery_cycle,
    free_cycle,
    issue_cycle,
    reset_end,
    step_end,
    take_cycle,
    update_cycle,
)
from archsim.kernels.pipeline.weight_requests import is_reused


@outer
def enter_first_step(state, step_times):
    """Enter the first step of a pass that nothing has happened in."""
    _enter_step(state, step_times)


@inner
def _enter_step(state, step_times):
    start, n_gates = state.progress[STEP_START], state.cus.shape[0]  # S_t
    state.progress[GROUP] = 0
    state.progress[N_UPDATED] = 0
    state.progress[N_STARTED] = n_gates - 1 if state.resets_before else n_gates
    state.cus[:] = 0
    for k in range(state.progress[N_STARTED]):
        _start_unit(state, step_times, k, start)


@inner
def _start_unit(state, step_times, k, start):
    state.cus[k, UNIT_START] = start
    state.cus[k, FREE_CYCLE] = start  # free[k,-1]
    state.cus[k, DELIVERY_CYCLE] = start
    # u[k,-1] is set to S_t - c_f, so that neuron 0 is issued at S_t.
    state.cus[k, ISSUE_CYCLE] = start - step_times.issue_cycles
    for n in range(state.resident.size):
        state.arrived_at[k, n] = ON_CHIP if state.resident[n] else NOT_ARRIVED
    if not step_times.has_memo:
        # Memo off: f = S_t, so that all neurons count as issued and decided.
        state.cus[k, N_ISSUED] = state.resident.size
        state.decided_at[k, :] = start


@inner
def _group_of(state, k):
    """Return the group of gates that gate k is updated with: of a reset before the product, r is group 0 alone."""
    return 1 if state.resets_before and k > 0 else 0


@inner
def advance_units(state, step_times, memory):
    """Advance all units until each needs a time that is not known yet."""
    for k in range(state.progress[N_STARTED]):
        advance_unit(state, step_times, memory, k)


@inner
def advance_unit(state, step_times, memory, k):
    """Advance unit k, the only one that a time became known for, and the others after each cell update."""
    _issue_and_take(state, step_times, memory, k)
    # Unit k alone has news; the others go on only where a cell update returns a credit.
    while _update(state, step_times):
        for other in range(state.progress[N_STARTED]):
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
    n, credit_at = unit[N_ISSUED], unit[UNIT_START]
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
    n, credit_at = unit[N_TAKEN], unit[UNIT_START]
    # While the evaluation before is in flight, its end is provisional; a neuron that is not issued has no decision.
    if unit[N_DELIVERED] < n or n >= unit[N_ISSUED]:
        return False
    if n >= step_times.result_lag:
        # The credit of the results comes back when hidden unit n - Q_m is updated for this gate's group.
        is_updated = state.progress[N_UPDATED] > n - step_times.result_lag
        if state.progress[GROUP] != _group_of(state, k) or not is_updated:
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
    """Let the multi-functional unit start its next update; return whether it did."""
    n, group, last = state.progress[N_UPDATED], state.progress[GROUP], state.resident.size - 1
    if n > last:
        return False
    # Gates meet here: the update needs the products of all gates of its group.
    ready = state.progress[STEP_START]
    for k in range(state.progress[N_STARTED]):
        if _group_of(state, k) == group:
            if state.cus[k, N_DELIVERED] <= n:
                return False
            ready = max(ready, state.delivered_at[k, n])  # max over k of r[k,n]
    # m[-1] is S_t - II_m, so that the first update may start at S_t, or m_r[H-1] after the updates r ⊙ h.
    last_update = state.progress[STEP_START] - step_times.update_interval_cycles
    if n > 0 or group > 0:
        last_update = state.updated_at[n - 1 if n > 0 else last]
    update, on_products = update_cycle(last_update, ready, step_times)
    state.updated_at[n] = update  # m[n], or m_r[n]
    state.result.update_wait[0] += on_products
    state.progress[N_UPDATED] = n + 1
    if n == 0 and group == 0:
        state.progress[UPDATES_START] = update
    if n == last and state.resets_before and group == 0:
        _start_candidate(state, step_times)
    return True


@inner
def _start_candidate(state, step_times):
    """Start the unit of the last gate, whose inputs r ⊙ h are complete; the cell updates follow."""
    last_gate = state.cus.shape[0] - 1
    start = reset_end(state.updated_at[state.resident.size - 1], step_times)  # S'_t
    state.progress[GROUP] = 1
    state.progress[N_UPDATED] = 0
    state.progress[N_STARTED] = last_gate + 1
    _start_unit(state, step_times, last_gate, start)


@inner
def end_step(state, step_times):
    """Record the end of the step and enter the next, or mark the pass as over."""
    t, last, result = state.progress[STEP], state.resident.size - 1, state.result
    end = state.updated_at[last] + step_times.update_pipeline_cycles  # e[H-1] = m[H-1] + L_m
    if t < result.spans.shape[0]:  # empty unless spans were asked for
        for k in range(state.cus.shape[0]):
            result.spans[t, k, FIRST_ISSUE] = state.cus[k, UNIT_START] - state.start
            result.spans[t, k, LAST_DECISION] = state.decided_at[k, last] - state.start
            result.spans[t, k, FIRST_TAKEN] = state.taken_at[k, 0] - state.start
            result.spans[t, k, LAST_FREE] = state.cus[k, FREE_CYCLE] - state.start
        result.update_spans[t, 0] = state.progress[UPDATES_START] - state.start
        result.update_spans[t, 1] = end - state.start
    state.progress[STEP_START] = step_end(end, step_times)  # S_{t+1}
    result.step_ends[t] = state.progress[STEP_START] - state.start
    state.progress[STEP] = t + 1
    if t + 1 == state.reuse_bits.shape[0]:
        state.progress[IS_OVER] = 1
    else:
        _enter_step(state, step_times)
