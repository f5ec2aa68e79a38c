"""A pass whose weights are on chip: its steps by the recurrence of its machine, some side by side.

A step's duration follows from its decisions alone (SEMANTICS 2.2): steps need not wait for each other, and of equal
ones in a row, as on the baseline, one is enough.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from archsim.kernels.arrays import U8, check_shapes
from archsim.kernels.jit import inner, outer
from archsim.kernels.pipeline.gates import (
    ON_PRODUCTS,
    STEP_END,
    PassTimes,
    StepTimes,
    empty_steps,
    empty_times,
    time_steps,
)
from archsim.kernels.pipeline.lanes import LANES
from archsim.kernels.pipeline.shared_dispatch import share_steps
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
    found, steps = empty_times(n_steps, n_gates, spans=spans), empty_steps(n_gates, n_units, times)
    firsts = np.empty(n_steps + 1, np.int64)
    _time_pass(reuse_bits, n_units, times, shared, firsts, steps, found)
    return found


@outer
def _time_pass(reuse_bits, n_units, times, shared, firsts, steps, found):
    start, n_different = 0, _find_firsts(reuse_bits, firsts)
    for block in range(0, n_different, LANES):
        first, n_lanes = firsts[block:], min(LANES, n_different - block)
        for lane in range(n_lanes):
            for byte in range(reuse_bits.shape[1]):
                steps.reuse_bytes[byte, lane] = reuse_bits[first[lane], byte]
        if shared:
            share_steps(steps, n_units, times)
        else:
            time_steps(steps, n_units, times)
        _add_up(found, steps, first, n_lanes)
        for lane in range(n_lanes):
            for t in range(first[lane], first[lane + 1]):
                start = _end_step(found, t, start, steps, lane)


@inner
def _find_firsts(reuse_bits, firsts):
    """Write the first of each row of steps with equal decisions, then T; return how many there are."""
    n = 0
    for t in range(reuse_bits.shape[0]):
        if t == 0 or not _are_equal(reuse_bits[t], reuse_bits[t - 1]):
            firsts[n] = t
            n += 1
    firsts[n] = reuse_bits.shape[0]
    return n


@inner
def _are_equal(these, those):
    byte = 0
    while byte < these.size and these[byte] == those[byte]:
        byte += 1
    return byte == these.size


@inner
def _add_up(found, steps, first, n_lanes):
    """Add what the units did and waited for in steps, and in those that follow and are equal."""
    for lane in range(n_lanes):
        n_equal = first[lane + 1] - first[lane]
        found.update_wait[0] += n_equal * steps.updates[ON_PRODUCTS, lane]
        for k in range(found.tally.shape[0]):
            for what in range(found.tally.shape[1]):
                found.tally[k, what] += n_equal * steps.tally[what, k, lane]


@inner
def _end_step(found, t, start, steps, lane):
    """Note a step like the one in a lane; return its end."""
    if t < found.spans.shape[0]:
        for k in range(found.tally.shape[0]):
            for what in range(found.spans.shape[2]):
                found.spans[t, k, what] = start + steps.spans[what, k, lane]
        for what in range(found.update_spans.shape[1]):
            found.update_spans[t, what] = start + steps.updates[what, lane]
    found.step_ends[t] = start + steps.updates[STEP_END, lane]
    return found.step_ends[t]
