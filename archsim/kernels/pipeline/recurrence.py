"""The step recurrence of SEMANTICS 2.2: one function per formula, and the records that all passes share.

Resident passes (`resident.py`), streamed passes (`streamed.py`) and shared dispatch (`shared_dispatch.py`) differ only
in the order in which they visit neurons, so all of them call these formulas. A resident row of weights is one that
arrived at cycle 0. Must agree with the neuron level: units in `sim/machines/epur/units`, `sim/units/mu.py`, and the
law in `tests/laws/test_details.py`.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from archsim.kernels.arrays import I64
from archsim.kernels.jit import inner


class StepTimes(NamedTuple):
    """Cycles of one machine on one pass, by the symbols of SEMANTICS 2.2."""

    dot_cycles: int
    """c_d, cycles the dot product unit is busy with a full evaluation."""
    memo_hit_cycles: int
    """c_r, cycles the dot product unit is busy with a memoized value."""
    dot_pipeline_cycles: int
    """L_d, cycles of the dot product pipeline."""
    has_memo: bool
    """Whether neurons wait for a decision."""
    issue_cycles: int
    """c_f, cycles between two issues of the memoization unit."""
    decision_cycles: int
    """(c_f - 1) + L_f, cycles from issue to decision."""
    run_ahead: int
    """Q, decisions the memoization unit may run ahead of the dot product unit."""
    update_interval_cycles: int
    """II_m, cycles between two cell updates."""
    update_pipeline_cycles: int
    """L_m, cycles of the cell update pipeline."""
    result_lag: int
    """Q_m, results the multi-functional unit may lag."""
    writeback_cycles: int
    """L_w, cycles from the last cell update to the next step."""
    projection_cycles: int = 0
    """ceil(R/G)·c_p + L_d + L_w, cycles from there to the next step where a projection makes h; else 0."""


@inner
def issue_cycle(last_issue, credit, step_times):
    """Return u[k,n], the cycle at which the memoization unit issues a neuron."""
    # u[k,n] = max(S_t, u[k,n-1] + c_f, a[k,n-Q]); S_t comes in through the first issue, u[k,-1] = S_t - c_f.
    return max(last_issue + step_times.issue_cycles, credit)


@inner
def decision_cycle(issue, step_times):
    """Return f[k,n], the cycle at which the decision on a neuron is known."""
    # f[k,n] = u[k,n] + (c_f - 1) + L_f
    return issue + step_times.decision_cycles


@inner
def take_cycle(free, decided, arrived, credit):
    """Return a[k,n], the cycle at which the dot product unit takes a neuron, and what it waited for until then.

    The waits are cycles for a decision, for weights and for a credit. `arrived` is 0 for a row on chip.
    """
    # a[k,n] = max(f[k,n], free[k,n-1], m[n-Q_m]), and by SEMANTICS 2.3 an evaluation also waits for its row. Each wait
    # starts where the one before ends, in the order of the neuron level, so that they add up to a[k,n] - free[k,n-1].
    with_decision = max(free, decided)
    with_weights = max(with_decision, arrived)
    taken = max(with_weights, credit)
    return taken, with_decision - free, with_weights - with_decision, taken - with_weights


@inner
def free_cycle(taken, reused, step_times):
    """Return free[k,n], the cycle at which the dot product unit can take its next neuron."""
    # free[k,n] = a[k,n] + (c_d if evaluated else c_r)
    return taken + (step_times.memo_hit_cycles if reused else step_times.dot_cycles)


@inner
def delivery_cycle(last_delivery, free, reused, step_times):
    """Return r[k,n], the cycle at which a value is delivered."""
    # r[k,n] = max(free[k,n] + (L_d if evaluated else 0), r[k,n-1]): no memoized value overtakes an evaluated one.
    return max(free + (0 if reused else step_times.dot_pipeline_cycles), last_delivery)


@inner
def update_cycle(last_update, ready, step_times):
    """Return m[n], the cycle at which the update of a cell starts, and the wait for `ready`, the latest r[k,n]."""
    # m[n] = max(m[n-1] + II_m, max over k of r[k,n])
    may_start = last_update + step_times.update_interval_cycles
    update = max(may_start, ready)
    return update, update - may_start


@inner
def step_end(last_end, step_times):
    """Return S_{t+1} from e[H-1], the end of the last cell update."""
    # S_{t+1} = e[H-1] + L_w, and the projection if there is one
    return last_end + step_times.writeback_cycles + step_times.projection_cycles


@inner
def reset_end(last_reset, step_times):
    """Return S'_t, the cycle at which r ⊙ h is in the candidate's input buffer, from m_r[H-1]."""
    # S'_t = m_r[H-1] + L_m + L_w
    return last_reset + step_times.update_pipeline_cycles + step_times.writeback_cycles


(
    REUSED,  # neurons that the dot product unit took as memoized values
    EVALUATED,  # neurons that it evaluated
    REMOTE,  # evaluated neurons of another gate
    ON_DECISION,  # cycles it waits for a decision
    ON_WEIGHTS,  # cycles it waits for a row of weights
    ON_RESULTS,  # cycles it waits for a credit of the results
    ON_BANK,  # cycles it waits for a bank that is being filled
    ON_CREDIT,  # cycles the memoization unit waits for a credit of the decisions
) = TALLY = range(8)
"""Counts per computation unit."""
(
    FIRST_ISSUE,  # begin of the memoization unit's work
    LAST_DECISION,  # end of it
    FIRST_TAKEN,  # begin of the dot product unit's work
    LAST_FREE,  # end of it
) = SPANS = range(4)
"""Cycles per computation unit and step."""
(
    FIRST_UPDATE,  # m[0]
    LAST_UPDATE,  # m[H-1]
    ON_PRODUCTS,  # cycles the unit waits for products
) = UPDATES = range(3)
"""Figures of the multi-functional unit per step."""


class PassTimes(NamedTuple):
    """Step ends of a pass, and the waits of its units, in cycles from its S_0."""

    step_ends: I64
    """(T,) S_{t+1}."""
    tally: I64
    """(G, 8)."""
    update_wait: I64
    """(1,) cycles the multi-functional unit waits for products."""
    spans: I64
    """(T, G, 4), or (0, G, 4) if nobody asked for spans."""
    update_spans: I64
    """(T, 2) begin and end of the multi-functional unit's work, or (0, 2)."""


def empty_times(n_steps: int, n_gates: int, *, spans: bool = False) -> PassTimes:
    """Return the times of a pass before anything is recorded, with room for the spans of every step if asked."""
    n_spans = n_steps if spans else 0
    return PassTimes(
        step_ends=np.zeros(n_steps, np.int64),
        tally=np.zeros((n_gates, len(TALLY)), np.int64),
        update_wait=np.zeros(1, np.int64),
        spans=np.zeros((n_spans, n_gates, len(SPANS)), np.int64),
        update_spans=np.zeros((n_spans, 2), np.int64),
    )
