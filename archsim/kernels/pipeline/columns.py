"""Steps of a column-skipping machine: when each column is found, placed, taken and added, and when the step ends.

In cycles from S_t, symbols as in SEMANTICS 2.2; `j` a column that enters, in the order of [x; h], `i_j` its element,
`g = floor(i / width)` the group an element is scanned in, `L` the delta unit's latency, `Q` slots for columns:

    c_h    = ceil(H / W)              cycles the dot product unit is busy with a column
    s[g]   = max(s[g-1], p[last j of group g-1]) + 1, s[0] = 0       group g is scanned
    p[j]   = max(s[g_j], p[j-1], a[j-Q])                             column j gets its slot
    a[j]   = max(p[j] + L, free[j-1]), free[-1] = 0                  it is known; the dot product unit takes it
    free[j] = a[j] + c_h
    z      = max(s[last g], p[last j]) + L                           it is known that no more will come
    r      = max(z, free[last j] + L_d)                              all sums of the step are ready; z if none entered
    τ[n]   = z + (n+1)·c_t + L_t                                     tail of neuron n is ready; 0 at step 0
    m[n]   = max(m[n-1] + II_m, r, τ[n]), e[n] = m[n] + L_m, S_{t+1} = S_t + e[H-1] + L_w

All computation units find the same columns, so one stands for all. At step 0 all N enter and leave no tail. Here all
weights are on chip; `streamed_columns.py` has the passes whose weights stream.

Must agree with the neuron level: `sim/machines/delta/units`. D17 of docs/DEVIATIONS.md relates it to SEMANTICS 2.2.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from archsim.kernels.arrays import I64, U8, check_shapes
from archsim.kernels.jit import inner
from archsim.units import ceil_div


class ColumnTimes(NamedTuple):
    """Cycles and widths of one machine on one pass."""

    width: int
    """Elements scanned per cycle."""
    latency_cycles: int
    """L, from a column's slot to the column."""
    queue_slots: int
    """Q, columns that may wait for the dot product unit."""
    column_cycles: int
    """c_h, cycles the dot product unit is busy with a column."""
    dot_pipeline_cycles: int
    """L_d, cycles of the dot product pipeline."""
    update_interval_cycles: int
    """II_m, cycles between two cell updates."""
    update_pipeline_cycles: int
    """L_m, cycles of the cell update pipeline."""
    writeback_cycles: int
    """L_w, cycles from the last cell update to the next step."""
    tail_row_cycles: int = 0
    """c_t, cycles the tail unit is busy with a neuron; 0 without a tail."""
    tail_latency_cycles: int = 0
    """L_t, cycles from the last of them to the neuron's tail."""


(
    ENTERED,  # columns that enter
    ON_COLUMN,  # cycles the dot product unit waits for a column or the end-of-step signal
    ON_SLOT,  # cycles the delta unit waits for a slot
    ON_SUMS,  # cycles the multi-functional unit waits for sums
    ON_COLUMN_WEIGHTS,  # cycles the dot product unit waits for a column of weights
    ON_CODES,  # cycles the tail unit waits for the codes of what did not enter
    ON_TAIL,  # cycles the multi-functional unit waits for tails, sums being ready
) = COLUMN_TALLY = range(7)
"""Counts of a pass."""
(
    SCANNED,  # end of the scan
    FIRST_COLUMN,  # begin of the dot product unit's work
    LAST_COLUMN,  # end of it
    COLUMN_FIRST_UPDATE,  # begin of the multi-functional unit's work
    COLUMN_LAST_UPDATE,  # end of it
) = COLUMN_SPANS = range(5)
"""Cycles of a step."""


class ColumnPassTimes(NamedTuple):
    """Step ends of a pass, and the waits of its units, in cycles from its S_0."""

    step_ends: I64
    """(T,) S_{t+1}."""
    tally: I64
    """(1, 7) counts of one computation unit, or (G, 7) of each."""
    spans: I64
    """(T, 1, 5), or (T, G, 5); (0, G, 5) if weights stream and nobody asked for spans."""


def time_columns(skip_bits: U8, n_inputs: int, n_units: int, column_times: ColumnTimes) -> ColumnPassTimes:
    """Return the times of a pass whose weights are on chip.

    skip_bits (T, ceil(N / 8)) as `numpy.packbits` lays them out, 1 = skipped. Raises ValueError for another shape.
    """
    n_steps = skip_bits.shape[0]
    check_shapes(skip_bits=(skip_bits, (n_steps, ceil_div(n_inputs, 8))))
    result = ColumnPassTimes(
        step_ends=np.zeros(n_steps, np.int64),
        tally=np.zeros((1, len(COLUMN_TALLY)), np.int64),
        spans=np.zeros((n_steps, 1, len(COLUMN_SPANS)), np.int64),
    )
    _time_columns(np.ascontiguousarray(skip_bits), n_inputs, n_units, column_times, result)
    return result


@njit(cache=True, nogil=True)
def _time_columns(skip_bits, n_inputs, n_units, column_times, result):
    start = 0
    taken = np.zeros(n_inputs, np.int64)  # a[j]; what an earlier step left beyond j is never read
    for t in range(skip_bits.shape[0]):
        span = result.spans[t, 0]
        end = _time_step(t, skip_bits[t], n_inputs, n_units, column_times, taken, result.tally[0], span)
        span += start
        start += end
        result.step_ends[t] = start


@njit(cache=True, nogil=True)
def _time_step(t, skip_bits, n_inputs, n_units, column_times, taken, tally, span):
    """Record a step in cycles from its start; return when the next may start."""
    scanned = 0  # s[g]
    placed = 0  # p[j-1]
    free = 0  # free[j-1]
    j = 0
    for i in range(n_inputs):
        if i > 0 and i % column_times.width == 0:
            # The scan stands still while a column of its group waits for a slot.
            scanned = max(scanned, placed) + 1  # s[g]
        if (skip_bits[i >> 3] >> (7 - (i & 7))) & 1:
            continue
        may_place = max(scanned, placed)
        credit = taken[j - column_times.queue_slots] if j >= column_times.queue_slots else 0  # a[j-Q]
        placed = max(may_place, credit)  # p[j]
        tally[ON_SLOT] += placed - may_place
        taken[j] = max(placed + column_times.latency_cycles, free)  # a[j]
        free = taken[j] + column_times.column_cycles  # free[j] = a[j] + c_h
        j += 1
    no_more = max(scanned, placed) + column_times.latency_cycles  # z
    ready = sums_ready_cycle(j, no_more, free, column_times)
    last_update, on_tail = last_update_cycle(t, ready, no_more, n_units, column_times)
    end = last_update + column_times.update_pipeline_cycles  # e[H-1] = m[H-1] + L_m
    tally[ENTERED] += j
    # The chain of columns leaves no gap: what the dot product unit does not work until it knows of the end, it waits.
    tally[ON_COLUMN] += max(free, no_more) - j * column_times.column_cycles
    tally[ON_SUMS] += ready
    tally[ON_CODES] += wait_for_codes(t, no_more, column_times)
    tally[ON_TAIL] += on_tail
    span[SCANNED] = no_more
    span[FIRST_COLUMN] = taken[0] if j > 0 else 0
    span[LAST_COLUMN] = free
    span[COLUMN_FIRST_UPDATE] = ready
    span[COLUMN_LAST_UPDATE] = end
    return end + column_times.writeback_cycles  # S_{t+1} - S_t = e[H-1] + L_w


@inner
def sums_ready_cycle(n_entering, no_more, free, column_times):
    """Return r, the cycle at which a computation unit has all sums of the step."""
    return max(no_more, free + column_times.dot_pipeline_cycles) if n_entering > 0 else no_more


@inner
def _has_tail(t, column_times):
    # At step 0 everything enters.
    return t > 0 and column_times.tail_row_cycles > 0


@inner
def wait_for_codes(t, n_cycles, column_times):
    """Return the wait of a tail unit whose step has codes after `n_cycles`; 0 if step t has no tail."""
    return n_cycles if _has_tail(t, column_times) else 0


@inner
def last_update_cycle(t, ready, no_more, n_units, column_times):
    """Return m[H-1] of step t, and the cycles for which updates wait for tails.

    ready, no_more: latest r and z of all computation units. The tail's least m[H-1] is the largest
    τ[n] + (H-1-n)·II_m, and τ grows by c_t per neuron, so the first neuron or the last decides.
    """
    by_sums = ready + (n_units - 1) * column_times.update_interval_cycles
    if not _has_tail(t, column_times):
        return by_sums, 0
    slower = max(column_times.tail_row_cycles, column_times.update_interval_cycles)
    first_tail = no_more + column_times.tail_row_cycles + column_times.tail_latency_cycles  # τ[0]
    last_update = max(by_sums, first_tail + (n_units - 1) * slower)
    return last_update, last_update - by_sums
