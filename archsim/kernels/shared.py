"""The step recurrence where dot product units share their work (`dispatch = "shared"`).

In the symbols of SEMANTICS 2.2, G units j serving G gates k; u, f, m, S and the credits Q and Q_m as there:

    q[k,n] = max(f[k,n], a[k,n-1], m[n-Q_m])                    gate k offers neuron n
    at     = max(q[k,n], free[j])                               unit j could take it; if it has to read the weights of
             and lent[k] too, where j != k and n is evaluated   another unit, only one guest at a time can do so
    take the pair (j, k) with the least (at, j != k, n, k, j), n being the next neuron of gate k
    a[k,n] = at,  free[j] = a[k,n] + (c_d if evaluated else c_r)
    lent[k] = free[j] where j != k and n is evaluated;  free[j] = lent[k] = S_t before
    r[k,n] = max(free[j] + (L_d if evaluated else 0), r[k,n-1])

So what can be taken first is taken first; at equal times a unit prefers its own gate, then the gate furthest behind.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from archsim.kernels.timing import (
    EVALUATED,
    FIRST_TAKEN,
    LAST_DECISION,
    LAST_FREE,
    ON_DECISION,
    ON_PLACE,
    REUSED,
    VISITED,
)

NEVER = 1 << 60


@njit(cache=True, nogil=True)
def time_shared_step(reuse_bits, n_gates, n_units, times, tally, spans, updates):  # type: ignore[no-untyped-def]
    """Return how long a step takes, and note what its units did and waited for."""
    taken = np.zeros((n_gates, n_units), np.int64)  # a[k, n]
    updated = np.zeros(n_units, np.int64)  # m[n]
    ready = np.zeros(n_units, np.int64)  # the latest r[k, n] so far
    delivered = np.zeros(n_gates, np.int64)  # r[k, n-1]
    heads = np.zeros(n_gates, np.int64)  # the next n of each gate
    issued = np.zeros(n_gates, np.int64)  # u[k, n]
    offered = np.full(n_gates, times.decision_cycles, np.int64)  # max(f[k, n], a[k, n-1])
    free, lent = np.zeros(n_gates, np.int64), np.zeros(n_gates, np.int64)
    tally[:], spans[:], updates[:] = 0, 0, 0
    n_updated = 0
    for _ in range(n_gates * n_units):
        at, k, j = _next_pair(reuse_bits, n_units, times, heads, offered, updated, n_updated, free, lent)
        n = heads[k]
        reused = _is_reused(reuse_bits, k * n_units + n)
        if tally[j, REUSED] + tally[j, EVALUATED] == 0:
            spans[j, FIRST_TAKEN] = at
        tally[j, ON_DECISION] += at - free[j]
        tally[j, REUSED] += reused
        tally[j, EVALUATED] += 1 - reused
        taken[k, n] = at
        free[j] = at + (times.pass_on_cycles if reused else times.dot_cycles)
        if j != k and not reused:
            tally[j, VISITED] += 1
            lent[k] = free[j]
        delivered[k] = max(delivered[k], free[j] + (0 if reused else times.dot_pipeline_cycles))
        ready[n] = max(ready[n], delivered[k])
        heads[k] = n + 1
        if n + 1 < n_units:
            place = taken[k, n + 1 - times.run_ahead] if n + 1 >= times.run_ahead else 0
            issued[k] += times.issue_cycles
            tally[k, ON_PLACE] += max(place - issued[k], 0)
            issued[k] = max(place, issued[k])
            offered[k] = max(at, issued[k] + times.decision_cycles)
        while n_updated < n_units and heads.min() > n_updated:
            may_start = updated[n_updated - 1] + times.update_interval_cycles if n_updated > 0 else 0
            updated[n_updated] = max(ready[n_updated], may_start)
            updates[2] += updated[n_updated] - may_start
            n_updated += 1
    spans[:, LAST_DECISION] = issued + times.decision_cycles
    spans[:, LAST_FREE] = free
    end = updated[n_units - 1] + times.update_pipeline_cycles
    updates[0], updates[1] = updated[0], end
    return end + times.writeback_cycles


@njit(cache=True, nogil=True)
def _next_pair(  # type: ignore[no-untyped-def]
    reuse_bits, n_units, times, heads, offered, updated, n_updated, free, lent
):
    """What is taken next: when, the gate, the unit; of equals the first."""
    first, first_n, gate, unit = NEVER, 0, 0, 0
    for k in range(heads.size):
        n = heads[k]
        if n == n_units or n >= n_updated + times.result_lag:
            continue
        offer = offered[k]
        if n >= times.result_lag:
            offer = max(offer, updated[n - times.result_lag])
        for j in range(heads.size):
            at = max(offer, free[j])
            if j != k and at < lent[k] and not _is_reused(reuse_bits, k * n_units + n):
                at = lent[k]
            if at < first or (at == first and (j != k, n) < (unit != gate, first_n)):
                first, first_n, gate, unit = at, n, k, j
    return first, gate, unit


@njit(cache=True, nogil=True)
def _is_reused(reuse_bits, bit):  # type: ignore[no-untyped-def]
    return (reuse_bits[bit >> 3] >> (7 - (bit & 7))) & 1
