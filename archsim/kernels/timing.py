"""The step recurrence of SEMANTICS 2.2: when each neuron is issued, decided, taken and finished."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from archsim.kernels.arrays import I64, U8, check_shapes
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


def step_end_cycles(reuse_bits: U8, n_gates: int, n_units: int, times: StepTimes) -> I64:
    """Return S_{t+1} of every step of a pass, in cycles from its S_0.

    reuse_bits (T, ceil(G·H / 8)) as `numpy.packbits` lays them out, gate-major; result (T,) int64.
    """
    check_shapes(reuse_bits=(reuse_bits, (reuse_bits.shape[0], ceil_div(n_gates * n_units, 8))))
    ends = np.empty(reuse_bits.shape[0], np.int64)
    _step_end_cycles(reuse_bits, n_gates, n_units, times, ends)
    return ends


@njit(cache=True, nogil=True)
def _step_end_cycles(reuse_bits, n_gates, n_units, times, ends):  # type: ignore[no-untyped-def]
    start = 0
    duration = 0
    for t in range(ends.size):
        # A step's duration follows from its decisions alone; on the baseline they are always the same.
        if t == 0 or not np.array_equal(reuse_bits[t], reuse_bits[t - 1]):
            duration = _step_cycles(reuse_bits[t], n_gates, n_units, times)
        start += duration
        ends[t] = start


@njit(cache=True, nogil=True)
def _step_cycles(reuse_bits, n_gates, n_units, times):  # type: ignore[no-untyped-def]
    taken = np.zeros((n_gates, n_units), np.int64)  # a[k, n]
    updated = np.zeros(n_units, np.int64)  # m[n]
    issued = np.full(n_gates, -times.issue_cycles, np.int64)  # u[k, n-1]
    free = np.zeros(n_gates, np.int64)  # free[k, n-1]
    delivered = np.zeros(n_gates, np.int64)  # r[k, n-1]
    for n in range(n_units):
        all_delivered = 0
        for k in range(n_gates):
            bit = k * n_units + n
            reused = (reuse_bits[bit >> 3] >> (7 - (bit & 7))) & 1
            take = free[k]
            if times.has_memo:
                issue = issued[k] + times.issue_cycles
                if n >= times.run_ahead:
                    issue = max(issue, taken[k, n - times.run_ahead])
                issued[k] = issue
                take = max(take, issue + times.decision_cycles)
            if n >= times.result_lag:
                take = max(take, updated[n - times.result_lag])
            taken[k, n] = take
            free[k] = take + (times.pass_on_cycles if reused else times.dot_cycles)
            delivered[k] = max(delivered[k], free[k] + (0 if reused else times.dot_pipeline_cycles))
            all_delivered = max(all_delivered, delivered[k])
        updated[n] = all_delivered
        if n > 0:
            updated[n] = max(all_delivered, updated[n - 1] + times.update_interval_cycles)
    return updated[n_units - 1] + times.update_pipeline_cycles + times.writeback_cycles
