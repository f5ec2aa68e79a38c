"""Cycles of a column-skipping pass, by hand and against the recurrence."""

import numpy as np
from harness import arch_with
from hypothesis import given
from hypothesis import strategies as st

from archsim.activity import PassShape
from archsim.config.arch import ArchSpec
from archsim.kernels.pipeline.columns import ColumnTimes, time_columns
from archsim.sim.items import PassSegment
from archsim.sim.machines import DELTA
from archsim.sim.machines.delta.costs import column_times


def ends(skipped, n_units=32, arch=None):
    """Return S_{t+1} of skips (T, N) on a machine."""
    skipped = np.atleast_2d(np.asarray(skipped, np.bool_))
    arch = DELTA.spec(arch or ArchSpec())
    times = column_times(arch, PassSegment(PassShape(0, 0, 4, n_units, skipped.shape[1])))
    return time_columns(np.packbits(skipped, axis=1), skipped.shape[1], n_units, times).step_ends.tolist()


def test_step_of_one_column_takes_65_cycles():
    """32 inputs: scanned in cycle 0, known at 3, added by 5, ready at 13, 32 updates by 44, + 20 + 1."""
    assert ends([[0] + [1] * 31]) == [3 + 2 + 8 + 31 + 20 + 1]


def test_step_without_columns_still_updates_all_cells():
    """Two groups: the last is scanned in cycle 1 and known to be empty at 4."""
    assert ends([[1] * 32]) == [1 + 3 + 31 + 20 + 1]


def test_step_waits_for_the_scan_of_the_last_group():
    """A first column alone is through at 13; the last group of 400 inputs is known at 24 + 3."""
    assert ends([[0] + [1] * 399]) == [27 + 31 + 20 + 1]


def test_all_columns_keep_the_dot_product_unit_busy():
    """20 columns of two cycles from cycle 3 on."""
    assert ends([[0] * 20]) == [3 + 20 * 2 + 8 + 31 + 20 + 1]


def test_queue_of_one_stalls_the_scan_per_column():
    """Each column gets its slot when the one before is taken, and is known 3 cycles later."""
    assert ends([[0] * 5], arch=arch_with(delta__queue_places=1)) == [3 * 5 + 2 + 8 + 31 + 20 + 1]


def naive_ends(skipped, n_units, times):
    """Return S_{t+1} by the formulas at the top of the kernel, with dictionaries."""
    start, result = 0, []
    for t, row in enumerate(skipped):
        s, p, a, free, order = {}, {}, {}, {}, np.flatnonzero(~row).tolist()
        last_of = {}
        for j, i in enumerate(order):
            last_of[i // times.width] = j
        for g in range(-(-row.size // times.width)):
            s[g] = 0 if g == 0 else max(s[g - 1], p[last_of[g - 1]] if g - 1 in last_of else 0) + 1
            for j, i in enumerate(order):
                if i // times.width == g:
                    credit = a[j - times.queue_slots] if j >= times.queue_slots else 0
                    p[j] = max(s[g], p[j - 1] if j else 0, credit)
                    a[j] = max(p[j] + times.latency_cycles, free[j - 1] if j else 0)
                    free[j] = a[j] + times.column_cycles
        no_more = max(s[g], p[len(order) - 1] if order else 0) + times.latency_cycles
        ready = max(no_more, free[len(order) - 1] + times.dot_pipeline_cycles if order else 0)
        update = -times.update_interval_cycles
        for n in range(n_units):
            tail = no_more + (n + 1) * times.tail_row_cycles + times.tail_latency_cycles
            update = max(update + times.update_interval_cycles, ready, tail if t and times.tail_row_cycles else 0)
        start += update
        start += times.update_pipeline_cycles + times.writeback_cycles
        result.append(start)
    return result


small = st.integers(1, 6)


@given(
    st.builds(ColumnTimes, small, small, small, small, *[st.integers(0, 9)] * 6), small, st.integers(1, 40),
    st.integers(1, 3), st.randoms(use_true_random=False),
)  # fmt: skip
def test_column_kernel_equals_the_recurrence(times, n_units, n_inputs, n_steps, random):
    share = random.random()
    skipped = np.array([[random.random() < share for _ in range(n_inputs)] for _ in range(n_steps)])
    result = time_columns(np.packbits(skipped, axis=1), n_inputs, n_units, times)
    assert result.step_ends.tolist() == naive_ends(skipped, n_units, times)


@given(st.integers(1, 40), st.integers(1, 60), st.integers(1, 4), st.randoms(use_true_random=False))
def test_one_more_skipped_column_is_never_slower(n_units, n_inputs, places, random):
    skipped = np.array([random.random() < 0.5 for _ in range(n_inputs)])
    more = skipped.copy()
    more[random.randrange(n_inputs)] = True
    arch = arch_with(delta__queue_places=places)
    assert ends([more], n_units, arch) <= ends([skipped], n_units, arch)
