"""Steps of a machine that goes by columns: when each column is found, taken and added, and when the step ends.

In cycles from S_t, symbols as in SEMANTICS 2.2; `j` a column that enters, in the order of [x; h], `i_j` its element,
`g = floor(i / width)` the group an element is scanned in, `L` the delta unit's latency, `Q` places for columns:

    c_h    = ceil(H / W)              cycles the dot product unit is busy with a column
    s[g]   = max(s[g-1], p[last j of group g-1]) + 1, s[0] = 0       group g is scanned
    p[j]   = max(s[g_j], p[j-1], a[j-Q])                             column j gets its place
    a[j]   = max(p[j] + L, free[j-1]), free[-1] = 0                  it is known; the dot product unit takes it
    free[j] = a[j] + c_h
    z      = max(s[last g], p[last j]) + L                           it is known that no more will come
    r      = max(z, free[last j] + L_d)                              all sums of the step are ready; z if none entered
    m[n]   = r + n·II_m, e[n] = m[n] + L_m, S_{t+1} = S_t + e[H-1] + L_w

All computation units find the same columns, so one stands for all. At step 0 all N enter.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from archsim.kernels.arrays import I64, U8, check_shapes
from archsim.units import ceil_div


class ColumnTimes(NamedTuple):
    """Cycles of one machine on one pass."""

    width: int
    """Elements scanned a cycle."""
    latency_cycles: int
    """L."""
    queue_places: int
    """Q."""
    column_cycles: int
    """c_h."""
    dot_pipeline_cycles: int
    """L_d."""
    update_interval_cycles: int
    """II_m."""
    update_pipeline_cycles: int
    """L_m."""
    writeback_cycles: int
    """L_w."""


ENTERED, ON_COLUMN, ON_PLACE, ON_SUMS = COLUMN_TALLY = range(4)
"""Of a pass: columns that enter; cycles the dot product unit waits for a column or the word that none will come; cycles
the delta unit waits for a place; cycles the multi-functional unit waits for sums."""
SCANNED, FIRST_COLUMN, LAST_COLUMN, FIRST_UPDATE, LAST_UPDATE = COLUMN_SPANS = range(5)


class ColumnPassTimes(NamedTuple):
    """When the steps of a pass end, in cycles from its S_0, and what its units wait for."""

    step_ends: I64
    """(T,) S_{t+1}."""
    tally: I64
    """(4,) of one computation unit."""
    spans: I64
    """(T, 5) of every step: the scan is over; the dot product unit begins and ends; so does the multi-functional."""


def time_columns(skip_bits: U8, n_inputs: int, n_units: int, times: ColumnTimes) -> ColumnPassTimes:
    """Return the times of a pass whose weights are on chip.

    skip_bits (T, ceil(N / 8)) as `numpy.packbits` lays them out, 1 = skipped.
    """
    n_steps = skip_bits.shape[0]
    check_shapes(skip_bits=(skip_bits, (n_steps, ceil_div(n_inputs, 8))))
    found = ColumnPassTimes(
        step_ends=np.zeros(n_steps, np.int64),
        tally=np.zeros(len(COLUMN_TALLY), np.int64),
        spans=np.zeros((n_steps, len(COLUMN_SPANS)), np.int64),
    )
    _time_columns(np.ascontiguousarray(skip_bits), n_inputs, n_units, times, found)
    return found


@njit(cache=True, nogil=True)
def _time_columns(skip_bits, n_inputs, n_units, times, found):
    start = 0
    taken = np.zeros(n_inputs, np.int64)  # a[j]
    for t in range(skip_bits.shape[0]):
        span = found.spans[t]
        end = _time_step(skip_bits[t], n_inputs, n_units, times, taken, found.tally, span)
        span += start
        start += end
        found.step_ends[t] = start


@njit(cache=True, nogil=True)
def _time_step(skip_bits, n_inputs, n_units, times, taken, tally, span):
    scanned = placed = free = j = 0  # s[g], p[j-1], free[j-1]
    for i in range(n_inputs):
        if i > 0 and i % times.width == 0:
            scanned = max(scanned, placed) + 1
        if (skip_bits[i >> 3] >> (7 - (i & 7))) & 1:
            continue
        may_place = max(scanned, placed)
        placed = max(may_place, taken[j - times.queue_places]) if j >= times.queue_places else may_place
        tally[ON_PLACE] += placed - may_place
        taken[j] = max(placed + times.latency_cycles, free)
        free = taken[j] + times.column_cycles
        j += 1
    no_more = max(scanned, placed) + times.latency_cycles
    ready = max(no_more, free + times.dot_pipeline_cycles) if j > 0 else no_more
    end = ready + (n_units - 1) * times.update_interval_cycles + times.update_pipeline_cycles
    tally[ENTERED] += j
    tally[ON_COLUMN] += max(free, no_more) - j * times.column_cycles
    tally[ON_SUMS] += ready
    span[SCANNED], span[FIRST_COLUMN], span[LAST_COLUMN] = no_more, taken[0] if j > 0 else 0, free
    span[FIRST_UPDATE], span[LAST_UPDATE] = ready, end
    return end + times.writeback_cycles
