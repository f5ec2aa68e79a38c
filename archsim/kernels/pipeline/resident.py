"""Passes whose weights are on chip: their steps by the recurrence of SEMANTICS 2.2, several side by side.

S_{t+1} - S_t follows from the decisions of step t alone, so steps are timed independently. Consecutive steps with equal
decisions, as on the baseline, are timed once. `lanes.py` explains the form of the innermost loops.

Must agree with the neuron level (SEMANTICS 2.2): `sim/machines/epur/units`, `sim/units/mu.py`.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from archsim.kernels.arrays import I64, U8, check_shapes
from archsim.kernels.jit import inner, outer
from archsim.kernels.pipeline.lanes import LANES, MAX_GATES, scratch_rows
from archsim.kernels.pipeline.recurrence import (
    EVALUATED,
    FIRST_ISSUE,
    FIRST_TAKEN,
    FIRST_UPDATE,
    LAST_DECISION,
    LAST_FREE,
    LAST_UPDATE,
    ON_CREDIT,
    ON_DECISION,
    ON_PRODUCTS,
    ON_RESULTS,
    REUSED,
    SPANS,
    TALLY,
    UPDATES,
    PassTimes,
    StepTimes,
    decision_cycle,
    delivery_cycle,
    empty_times,
    free_cycle,
    issue_cycle,
    reset_end,
    step_end,
    take_cycle,
    update_cycle,
)
from archsim.kernels.pipeline.shared_dispatch import time_shared_steps
from archsim.units import ceil_div


class StepBatch(NamedTuple):
    """State and times of LANES steps side by side, in cycles from the S_t of each; the last axis is the lanes."""

    reuse_bytes: U8
    """(ceil(G·H / 8), LANES) decisions, packed as `numpy.packbits` does."""
    starts: I64
    """(G, LANES) first cycle of each gate: S_t, or S'_t of a candidate that waits for r ⊙ h."""
    taken: I64
    """(min(Q, H), G, LANES) ring of a[k,n]: entry n % Q holds a[k,n-Q] until a[k,n] replaces it."""
    updated: I64
    """(min(Q_m, H), LANES) ring of m[n]: entry n % Q_m holds m[n-Q_m] until m[n] replaces it."""
    ready: I64
    """(H, LANES) max over k of r[k,n], as far as it is known; only where units share their work."""
    tally: I64
    """(8, G, LANES)."""
    spans: I64
    """(4, G, LANES)."""
    updates: I64
    """(3, LANES)."""


def time_pass(
    reuse_bits: U8, n_gates: int, n_units: int, step_times: StepTimes, *,
    shared: bool = False, resets_before: bool = False, spans: bool = False,
) -> PassTimes:  # fmt: skip
    """Return the times of a pass on units of their own gates, or on units that share their work.

    reuse_bits (T, ceil(G·H / 8)) as `numpy.packbits` lays them out, gate-major. Units that share need a memoization
    unit that decides. resets_before: whether the last gate waits for the first; then units cannot share.
    Raises ValueError for another shape, or for more than MAX_GATES gates.
    """
    n_steps = reuse_bits.shape[0]
    check_shapes(reuse_bits=(reuse_bits, (n_steps, ceil_div(n_gates * n_units, 8))))
    if n_gates > MAX_GATES:
        raise ValueError(f"a pass has {n_gates} gates, need at most {MAX_GATES}")
    batch = _empty_batch(n_gates, n_units, step_times, shared)
    result = empty_times(n_steps, n_gates, spans=spans)
    firsts = np.empty(n_steps + 1, np.int64)
    _time_pass(reuse_bits, n_units, step_times, shared, resets_before, firsts, batch, result)
    return result


def _empty_batch(n_gates: int, n_units: int, step_times: StepTimes, shared: bool) -> StepBatch:
    # Units that share reach back to any neuron, because their gates go apart: then the rings hold all.
    ahead = n_units if shared else min(max(step_times.run_ahead, 1), n_units)
    behind = n_units if shared else min(step_times.result_lag, n_units)
    return StepBatch(
        reuse_bytes=np.zeros((ceil_div(n_gates * n_units, 8), LANES), np.uint8),
        starts=np.zeros((n_gates, LANES), np.int64),
        taken=np.zeros((ahead, n_gates, LANES), np.int64),
        updated=np.zeros((behind, LANES), np.int64),
        ready=np.zeros((n_units if shared else 0, LANES), np.int64),
        tally=np.zeros((len(TALLY), n_gates, LANES), np.int64),
        spans=np.zeros((len(SPANS), n_gates, LANES), np.int64),
        updates=np.zeros((len(UPDATES), LANES), np.int64),
    )


@outer
def _time_pass(reuse_bits, n_units, step_times, shared, resets_before, firsts, batch, result):
    start, n_different = 0, _find_firsts(reuse_bits, firsts)
    for begin in range(0, n_different, LANES):
        first, n_lanes = firsts[begin:], min(LANES, n_different - begin)
        # Lanes without a step keep decisions of an earlier batch: they are timed, but nobody reads the result.
        for lane in range(n_lanes):
            for byte in range(reuse_bits.shape[1]):
                batch.reuse_bytes[byte, lane] = reuse_bits[first[lane], byte]
        if shared:
            time_shared_steps(batch, n_units, step_times)
        else:
            _time_steps(batch, n_units, step_times, resets_before)
        for lane in range(n_lanes):
            _add_tally(batch, lane, first[lane + 1] - first[lane], result)
            for t in range(first[lane], first[lane + 1]):
                start = _end_step(batch, lane, t, start, step_times, result)


@inner
def _find_firsts(reuse_bits, firsts):
    """Write the first step of each run of steps with equal decisions, then T; return the number of runs."""
    n_different = 0
    for t in range(reuse_bits.shape[0]):
        if t == 0 or not _are_equal(reuse_bits[t], reuse_bits[t - 1]):
            firsts[n_different] = t
            n_different += 1
    firsts[n_different] = reuse_bits.shape[0]
    return n_different


@inner
def _are_equal(these, those):
    byte = 0
    while byte < these.size and these[byte] == those[byte]:
        byte += 1
    return byte == these.size


@inner
def _time_steps(batch, n_units, step_times, resets_before):
    """Time LANES steps on units of their own gates."""
    n_gates = batch.starts.shape[0]
    batch.starts[:] = 0  # S_t
    batch.updates[:] = 0
    # The first update of a step waits for no earlier one: m[0] may be S_t.
    batch.updates[LAST_UPDATE] = -step_times.update_interval_cycles
    if resets_before:
        # Gate r and its updates r ⊙ h come first; then the candidate starts, and all other gates meet in the cells.
        _time_gates(batch, 0, 1, n_units, step_times)
        for lane in range(LANES):
            batch.starts[n_gates - 1, lane] = reset_end(batch.updates[LAST_UPDATE, lane], step_times)  # S'_t
        _time_gates(batch, 1, n_gates, n_units, step_times)
    else:
        _time_gates(batch, 0, n_gates, n_units, step_times)


@inner
def _time_gates(batch, first_gate, end_gate, n_units, step_times):
    """Time the gates from `first_gate` to before `end_gate`, which meet in one series of updates."""
    issued = scratch_rows(MAX_GATES)  # u[k,n-1]
    free = scratch_rows(MAX_GATES)  # free[k,n-1]
    delivered = scratch_rows(MAX_GATES)  # r[k,n-1]
    updated = scratch_rows(1)  # m[n-1]
    taken = scratch_rows(1)  # a[k,n]
    ready = scratch_rows(1)  # max over k of r[k,n]
    n_reused = scratch_rows(MAX_GATES)
    decision_wait = scratch_rows(MAX_GATES)
    result_wait = scratch_rows(MAX_GATES)
    update_wait = scratch_rows(1)
    for rows in (n_reused, decision_wait, result_wait, update_wait):
        rows[:] = 0
    # The first neuron of a step waits for no earlier one: u[k,0] may be S_t. Rows are filled with constants, and the
    # one gate that starts later is set apart, because rows copied from `starts` gate by gate took a quarter longer.
    free[:] = 0
    delivered[:] = 0
    issued[:] = -step_times.issue_cycles
    if first_gate > 0:  # the last gate, the candidate, starts later
        for lane in range(LANES):
            free[end_gate - 1, lane] = batch.starts[end_gate - 1, lane]
            delivered[end_gate - 1, lane] = batch.starts[end_gate - 1, lane]
            issued[end_gate - 1, lane] = batch.starts[end_gate - 1, lane] - step_times.issue_cycles
    for lane in range(LANES):
        updated[0, lane] = batch.updates[LAST_UPDATE, lane]
    # Nor do the first Q and Q_m neurons wait for credits.
    batch.taken[:] = 0
    batch.updated[:] = 0
    for n in range(n_units):
        ready[:] = 0
        ahead = n % batch.taken.shape[0]
        behind = n % batch.updated.shape[0]
        # Gates in any order: they meet only in `ready`, and in m[n-Q_m], which is known.
        for k in range(first_gate, end_gate):
            byte = (k * n_units + n) >> 3
            shift = 7 - ((k * n_units + n) & 7)
            for lane in range(LANES):
                reused = (batch.reuse_bytes[byte, lane] >> shift) & 1
                issued[k, lane] = issue_cycle(issued[k, lane], batch.taken[ahead, k, lane], step_times)  # u[k,n]
                decided = (
                    decision_cycle(issued[k, lane], step_times) if step_times.has_memo else 0
                )  # f[k,n]; memo off: S_t
                # A row that is on chip arrived at 0, so that the wait for weights is none.
                a, on_decision, _, on_results = take_cycle(free[k, lane], decided, 0, batch.updated[behind, lane])
                taken[0, lane] = a
                free[k, lane] = free_cycle(a, reused, step_times)
                delivered[k, lane] = delivery_cycle(delivered[k, lane], free[k, lane], reused, step_times)  # r[k,n]
                ready[0, lane] = max(ready[0, lane], delivered[k, lane])
                n_reused[k, lane] += reused
                decision_wait[k, lane] += on_decision
                result_wait[k, lane] += on_results
            # The entry held a[k,n-Q], which no neuron needs any more.
            for lane in range(LANES):
                batch.taken[ahead, k, lane] = taken[0, lane]
            if n == 0:
                for lane in range(LANES):
                    batch.spans[FIRST_TAKEN, k, lane] = taken[0, lane]
        for lane in range(LANES):
            updated[0, lane], on_products = update_cycle(updated[0, lane], ready[0, lane], step_times)  # m[n]
            update_wait[0, lane] += on_products
        for lane in range(LANES):
            batch.updated[behind, lane] = updated[0, lane]
        if n == 0 and first_gate == 0:
            for lane in range(LANES):
                batch.updates[FIRST_UPDATE, lane] = updated[0, lane]
    for k in range(first_gate, end_gate):
        for lane in range(LANES):
            batch.tally[REUSED, k, lane] = n_reused[k, lane]
            batch.tally[EVALUATED, k, lane] = n_units - n_reused[k, lane]
            batch.tally[ON_DECISION, k, lane] = decision_wait[k, lane]
            batch.tally[ON_RESULTS, k, lane] = result_wait[k, lane]
            if step_times.has_memo:
                # Issues come c_f apart, or later for want of a credit.
                without_waits = batch.starts[k, lane] + (n_units - 1) * step_times.issue_cycles
                batch.tally[ON_CREDIT, k, lane] = issued[k, lane] - without_waits
                batch.spans[LAST_DECISION, k, lane] = issued[k, lane] + step_times.decision_cycles
            batch.spans[FIRST_ISSUE, k, lane] = batch.starts[k, lane]
            batch.spans[LAST_FREE, k, lane] = free[k, lane]
    for lane in range(LANES):
        batch.updates[LAST_UPDATE, lane] = updated[0, lane]
        batch.updates[ON_PRODUCTS, lane] += update_wait[0, lane]


@inner
def _add_tally(batch, lane, n_equal, result):
    """Add the counts of one lane to the pass's, times `n_equal`, the steps that it stands for."""
    result.update_wait[0] += n_equal * batch.updates[ON_PRODUCTS, lane]
    for k in range(result.tally.shape[0]):
        for entry in range(result.tally.shape[1]):
            result.tally[k, entry] += n_equal * batch.tally[entry, k, lane]


@inner
def _end_step(batch, lane, t, start, step_times, result):
    """Record step t with the times of `lane`, and return its end, S_{t+1}."""
    end = start + batch.updates[LAST_UPDATE, lane] + step_times.update_pipeline_cycles  # e[H-1] = m[H-1] + L_m
    if t < result.spans.shape[0]:
        for k in range(result.tally.shape[0]):
            for entry in range(result.spans.shape[2]):
                result.spans[t, k, entry] = start + batch.spans[entry, k, lane]
        result.update_spans[t, 0] = start + batch.updates[FIRST_UPDATE, lane]
        result.update_spans[t, 1] = end
    result.step_ends[t] = step_end(end, step_times)  # S_{t+1}
    return result.step_ends[t]
