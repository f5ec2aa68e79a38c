"""The step recurrence of SEMANTICS 2.2: when each neuron is issued, decided, taken and finished."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from archsim.kernels.arrays import I64
from archsim.kernels.jit import inner
from archsim.kernels.pipeline.lanes import LANES, everywhere, later, load, store, where
from archsim.units import ceil_div


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
ISSUED, FREE, DELIVERED, HEAD, HEAD_REUSED, OFFERED, LENT = GATE = range(7)
"""Of a gate: u[k, n-1], free and r[k, n-1]; where units share their work, also its next n, whether that is reused, when
it is offered, and until when another unit reads the gate's weights."""


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


class Steps(NamedTuple):
    """Steps side by side, one in each lane, in cycles from the S_t of each; the last axis of all is the lanes."""

    reuse_bytes: I64
    """(ceil(G·H / 8) + 1, LANES) their decisions, and a byte that is nobody's."""
    tally: I64
    """(8, G, LANES)."""
    spans: I64
    """(4, G, LANES)."""
    updates: I64
    """(4, LANES) the first cell update, the end of the last, the wait for products, and S_{t+1}."""
    gates: I64
    """(7, G, LANES) how far each gate has come."""
    taken: I64
    """(places, G, LANES) the latest a[k, n] in a ring, at least Q."""
    updated: I64
    """(places, LANES) the latest m[n] in a ring, more than Q_m."""
    ready: I64
    """(places, LANES) the latest r[k, n] of neurons not yet updated, as far as known; 0 of those not yet taken."""


FIRST_UPDATE, LAST_UPDATE, ON_PRODUCTS, STEP_END = UPDATES = range(4)


def empty_steps(n_gates: int, n_units: int, times: StepTimes) -> Steps:
    """Room for steps of a pass; rings have a power of two of places, so that a mask finds them."""
    ahead = 1 << min(times.run_ahead, n_units).bit_length()
    behind = 1 << min(times.result_lag, n_units).bit_length()
    return Steps(
        reuse_bytes=np.zeros((ceil_div(n_gates * n_units, 8) + 1, LANES), np.int64),
        tally=np.zeros((len(TALLY), n_gates, LANES), np.int64),
        spans=np.zeros((len(SPANS), n_gates, LANES), np.int64),
        updates=np.zeros((len(UPDATES), LANES), np.int64),
        gates=np.zeros((len(GATE), n_gates, LANES), np.int64),
        taken=np.zeros((ahead, n_gates, LANES), np.int64),
        updated=np.zeros((behind, LANES), np.int64),
        ready=np.zeros((behind, LANES), np.int64),
    )


@inner
def add(row, lanes):
    """Add lanes to a row."""
    store(row, load(row) + lanes)


@inner
def time_steps(steps, n_units, times):
    """Run the recurrence of steps, and note what their units did and waited for."""
    gates, taken, updated, tally = steps.gates, steps.taken, steps.updated, steps.tally
    gates[FREE], gates[DELIVERED], gates[ISSUED], tally[:] = 0, 0, -times.issue_cycles, 0
    update, on_products = everywhere(-times.update_interval_cycles), everywhere(0)
    for n in range(n_units):
        ready = everywhere(0)
        for k in range(gates.shape[1]):
            bit = k * n_units + n
            reused = (load(steps.reuse_bytes[bit >> 3]) >> (7 - (bit & 7))) & 1
            decided = load(gates[FREE, k])
            if times.has_memo:
                issue = load(gates[ISSUED, k]) + times.issue_cycles
                if n >= times.run_ahead:
                    issue = later(issue, load(taken[(n - times.run_ahead) & (taken.shape[0] - 1), k]))
                store(gates[ISSUED, k], issue)
                decided = later(decided, issue + times.decision_cycles)
            take = decided
            if n >= times.result_lag:
                take = later(decided, load(updated[(n - times.result_lag) & (updated.shape[0] - 1)]))
            store(taken[n & (taken.shape[0] - 1), k], take)
            free = take + where(reused == 1, times.pass_on_cycles, times.dot_cycles)
            delivered = later(load(gates[DELIVERED, k]), free + where(reused == 1, 0, times.dot_pipeline_cycles))
            ready = later(ready, delivered)
            store(gates[FREE, k], free)
            store(gates[DELIVERED, k], delivered)
            add(tally[REUSED, k], reused)
            add(tally[ON_RESULTS, k], take - decided)
            if n == 0:
                store(steps.spans[FIRST_TAKEN, k], take)
        may_start = update + times.update_interval_cycles
        update = later(ready, may_start)
        on_products = on_products + (update - may_start)
        store(updated[n & (updated.shape[0] - 1)], update)
        if n == 0:
            store(steps.updates[FIRST_UPDATE], update)
    for k in range(gates.shape[1]):
        store(tally[EVALUATED, k], n_units - load(tally[REUSED, k]))
    end_steps(steps, n_units, times, update, on_products)


@inner
def end_steps(steps, n_units, times, last_update, on_products):
    """Note what follows from how far the gates have come, and from the last cell update."""
    gates, tally, spans, updates = steps.gates, steps.tally, steps.spans, steps.updates
    for k in range(gates.shape[1]):
        free, issued = load(gates[FREE, k]), load(gates[ISSUED, k])
        # What a unit did not work it waited; both chains of neurons leave no gap.
        worked = load(tally[REUSED, k]) * times.pass_on_cycles + load(tally[EVALUATED, k]) * times.dot_cycles
        store(tally[ON_DECISION, k], free - worked - load(tally[ON_RESULTS, k]))
        store(tally[ON_PLACE, k], issued - (n_units - 1) * times.issue_cycles)
        store(spans[LAST_DECISION, k], issued + times.decision_cycles)
        store(spans[LAST_FREE, k], free)
    end = last_update + times.update_pipeline_cycles
    store(updates[LAST_UPDATE], end)
    store(updates[ON_PRODUCTS], on_products)
    store(updates[STEP_END], end + times.writeback_cycles)
