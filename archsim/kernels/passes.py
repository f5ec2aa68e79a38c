"""A pass whose weights are on chip: step after step, by the recurrence of its machine."""

from __future__ import annotations

import numpy as np
from numba import njit

from archsim.kernels.arrays import U8, check_shapes
from archsim.kernels.shared import time_shared_step
from archsim.kernels.timing import PassTimes, StepTimes, empty_times, note_step, time_step
from archsim.units import ceil_div


def time_pass(
    reuse_bits: U8, n_gates: int, n_units: int, times: StepTimes, *, shared: bool = False, spans: bool = False
) -> PassTimes:
    """Return the times of a pass on units of their own gates, or on units that share their work.

    reuse_bits (T, ceil(G·H / 8)) as `numpy.packbits` lays them out, gate-major. Units that share need a memoization
    unit that decides.
    """
    n_steps = reuse_bits.shape[0]
    check_shapes(reuse_bits=(reuse_bits, (n_steps, ceil_div(n_gates * n_units, 8))))
    found = empty_times(n_steps, n_gates, spans=spans)
    _time_pass(np.ascontiguousarray(reuse_bits), n_gates, n_units, times, shared, found)
    return found


@njit(cache=True, nogil=True)
def _time_pass(reuse_bits, n_gates, n_units, times, shared, found):  # type: ignore[no-untyped-def]
    start = duration = 0
    step = np.zeros_like(found.tally)
    spans, updates = np.zeros((n_gates, 4), np.int64), np.zeros(3, np.int64)
    for t in range(reuse_bits.shape[0]):
        # A step's duration follows from its decisions alone; on the baseline they are always the same.
        if t == 0 or not np.array_equal(reuse_bits[t], reuse_bits[t - 1]):
            if shared:
                duration = time_shared_step(reuse_bits[t], n_gates, n_units, times, step, spans, updates)
            else:
                duration = time_step(reuse_bits[t], n_gates, n_units, times, step, spans, updates)
        note_step(found, t, start, step, spans, updates)
        start += duration
        found.step_ends[t] = start
