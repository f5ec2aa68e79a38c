"""The step recurrence of SEMANTICS 2.2: when each neuron is issued, decided, taken and finished."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from archsim.kernels.arrays import I64


class StepTimes(NamedTuple):
    """Cycles of one machine on one pass, the symbols of SEMANTICS 2.2 written out."""

    dot_cycles: int
    """c_d, the dot product unit is busy for a full evaluation."""
    pass_on_cycles: int
    """c_r, the same for a memoized value."""
    dot_pipeline_cycles: int
    """L_d."""
    has_memo: bool
    issue_cycles: int
    """c_f, between two issues of the memoization unit."""
    decision_cycles: int
    """(c_f - 1) + L_f, from issue to decision."""
    run_ahead: int
    """Q, decisions the memoization unit may be ahead of the dot product unit."""
    update_interval_cycles: int
    """II_m, between two cell updates."""
    update_pipeline_cycles: int
    """L_m."""
    result_lag: int
    """Q_m, results the multi-functional unit may lag."""
    writeback_cycles: int
    """L_w."""


REUSED, EVALUATED, VISITED, ON_DECISION, ON_WEIGHTS, ON_RESULTS, ON_BANK, ON_PLACE = TALLY = range(8)
"""Of a computation unit: neurons its dot product unit passed on and evaluated, and how many of these were of another
gate; cycles it waits for a decision, for weights, for a place among the results, and for a bank that is being filled;
cycles the memoization unit waits for a place among the decisions."""
FIRST_ISSUE, LAST_DECISION, FIRST_TAKEN, LAST_FREE = SPANS = range(4)


class PassTimes(NamedTuple):
    """When the steps of a pass end, in cycles from its S_0, and what its units wait for."""

    step_ends: I64
    """(T,) S_{t+1}."""
    tally: I64
    """(G, 8)."""
    update_wait: I64
    """(1,) cycles the multi-functional unit waits for products."""
    spans: I64
    """(T, G, 4) of every step, or none: when its memoization and dot product units begin and end."""
    update_spans: I64
    """(T, 2) the same of the multi-functional unit."""


def empty_times(n_steps: int, n_gates: int, *, spans: bool = False) -> PassTimes:
    """Nothing recorded yet; `spans` asks for those of every step."""
    kept = n_steps if spans else 0
    return PassTimes(
        step_ends=np.zeros(n_steps, np.int64),
        tally=np.zeros((n_gates, len(TALLY)), np.int64),
        update_wait=np.zeros(1, np.int64),
        spans=np.zeros((kept, n_gates, len(SPANS)), np.int64),
        update_spans=np.zeros((kept, 2), np.int64),
    )


@njit(cache=True, nogil=True)
def note_step(found, t, start, step, spans, updates):  # type: ignore[no-untyped-def]
    """Add what a step's units did and waited for."""
    if t < found.spans.shape[0]:
        found.spans[t], found.update_spans[t] = start + spans, start + updates[:2]
    found.tally[:] += step
    found.update_wait[0] += updates[2]


@njit(cache=True, nogil=True)
def time_step(reuse_bits, n_gates, n_units, times, tally, spans, updates):  # type: ignore[no-untyped-def]
    """Return how long a step takes, and note what its units did and waited for."""
    taken = np.zeros((n_gates, n_units), np.int64)  # a[k, n]
    updated = np.zeros(n_units, np.int64)  # m[n]
    issued = np.full(n_gates, -times.issue_cycles, np.int64)  # u[k, n-1]
    free = np.zeros(n_gates, np.int64)  # free[k, n-1]
    delivered = np.zeros(n_gates, np.int64)  # r[k, n-1]
    tally[:] = 0
    update_wait = 0
    for n in range(n_units):
        all_delivered = 0
        for k in range(n_gates):
            bit = k * n_units + n
            reused = (reuse_bits[bit >> 3] >> (7 - (bit & 7))) & 1
            decided = free[k]
            if times.has_memo:
                issue = issued[k] + times.issue_cycles
                if n >= times.run_ahead:
                    issue = max(issue, taken[k, n - times.run_ahead])
                issued[k] = issue
                decided = max(decided, issue + times.decision_cycles)
            take = decided
            if n >= times.result_lag and updated[n - times.result_lag] > decided:
                take = updated[n - times.result_lag]
                tally[k, ON_RESULTS] += take - decided
            tally[k, REUSED] += reused
            taken[k, n] = take
            free[k] = take + (times.pass_on_cycles if reused else times.dot_cycles)
            delivered[k] = max(delivered[k], free[k] + (0 if reused else times.dot_pipeline_cycles))
            all_delivered = max(all_delivered, delivered[k])
        may_start = updated[n - 1] + times.update_interval_cycles if n > 0 else 0
        updated[n] = max(all_delivered, may_start)
        update_wait += updated[n] - may_start
    for k in range(n_gates):
        # What a unit did not work it waited; both chains of neurons leave no gap.
        reused = tally[k, REUSED]
        tally[k, EVALUATED] = n_units - reused
        worked = reused * times.pass_on_cycles + (n_units - reused) * times.dot_cycles
        tally[k, ON_DECISION] = free[k] - worked - tally[k, ON_RESULTS]
        tally[k, ON_PLACE] = issued[k] - (n_units - 1) * times.issue_cycles
        spans[k, LAST_DECISION] = issued[k] + times.decision_cycles
        spans[k, FIRST_TAKEN], spans[k, LAST_FREE] = taken[k, 0], free[k]
    end = updated[n_units - 1] + times.update_pipeline_cycles
    updates[0], updates[1], updates[2] = updated[0], end, update_wait
    return end + times.writeback_cycles
