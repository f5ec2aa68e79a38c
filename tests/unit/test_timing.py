"""Step times: the closed form, edges pinned to the cycle, and the recurrence against its formulas."""

import numpy as np
import pytest
from harness import arch_with, machines, naive_step_ends
from hypothesis import given
from hypothesis import strategies as st

from archsim.config.specs import ArchSpec
from archsim.kernels.passes import time_pass
from archsim.sim.step_times import step_times
from archsim.sim.work import PassPart
from archsim.traceio.activity import PassShape


def ends(reused, arch=None, n_inputs=32):
    """S_{t+1} of decisions (T, G, H) on a machine."""
    reused = np.asarray(reused, np.bool_)
    _, G, H = reused.shape
    times = step_times(arch or ArchSpec(), PassPart(PassShape(0, 0, G, H, n_inputs)))
    return step_ends(reused, times)


def step_ends(reused, times):
    T, G, H = reused.shape
    return time_pass(np.packbits(reused.reshape(T, -1), axis=1), G, H, times).step_ends.tolist()


@pytest.mark.parametrize("n_inputs, units", [(16, 1), (17, 5), (256, 128), (960, 320)])
def test_closed_form_without_memoization(n_inputs, units):
    """SEMANTICS 2.2: H·c_d + L_d + L_m + L_w per step."""
    step = units * -(-n_inputs // 16) + 8 + 20 + 1
    found = ends(np.zeros((3, 4, units)), ArchSpec().without_memo(), n_inputs)
    assert found == [step, 2 * step, 3 * step]


def test_memo_hit_skips_the_dot_product_but_waits_for_the_fmu():
    """One neuron, reused: decided at 5, passed on at 6, updated by 26, written back at 27."""
    assert ends([[[1]]]) == [5 + 1 + 20 + 1]


def test_a_miss_pays_for_the_decision_and_the_evaluation():
    """One neuron, evaluated: 5 to decide, 2 to multiply, 8 in the pipeline."""
    assert ends([[[0]]]) == [5 + 2 + 8 + 20 + 1]


def test_one_more_cycle_of_fmu_latency_is_one_more_cycle():
    assert ends([[[1]]], arch_with(fmu__latency_cycles=6))[0] == ends([[[1]]])[0] + 1


def test_wide_inputs_take_two_issues():
    """N = 2059 needs two cycles of a 2048-bit unit: the first decision is one cycle later."""
    assert ends([[[1]]], n_inputs=2048) == [27] and ends([[[1]]], n_inputs=2049) == [28]


def test_all_reused_runs_at_the_pass_on_rate():
    """Neuron n is passed on at 6 + n; the last of 10 at 15."""
    assert ends(np.ones((1, 4, 10))) == [5 + 10 + 20 + 1]


def test_a_result_overtakes_nothing():
    """A reused neuron behind an evaluated one is delivered with it, not before."""
    evaluated_then_reused = ends([[[0, 1]]])
    assert evaluated_then_reused == [5 + 2 + 8 + 1 + 20 + 1]


def test_run_ahead_hides_decisions_only_as_far_as_its_credits():
    """With one credit, a neuron is issued when its predecessor is taken: 5 + 1 cycles apart, less the overlap."""
    free_running = ends(np.ones((1, 1, 8)))
    one_credit = ends(np.ones((1, 1, 8)), arch_with(fmu__run_ahead=1))
    assert one_credit[0] - free_running[0] == 7 * (5 - 1)


def test_result_lag_ties_the_units_together():
    """One gate evaluates everything, the other nothing: with one result in flight they go in step."""
    mixed = np.zeros((1, 2, 6))
    mixed[:, 1] = 1
    assert ends(mixed, arch_with(mu__result_lag=1))[0] > ends(mixed)[0]


def test_slowest_gate_sets_the_step():
    alone, together = np.zeros((1, 1, 9)), np.ones((1, 4, 9))
    together[:, 2] = 0
    assert ends(together) == ends(alone)


@given(machines(), st.integers(1, 4), st.integers(1, 12), st.integers(1, 4), st.randoms(use_true_random=False))
def test_kernel_is_the_recurrence(times, gates, units, steps, random):
    """The kernel against the formulas of SEMANTICS 2.2, term by term."""
    reused = np.array([[[random.random() < 0.5 for _ in range(units)] for _ in range(gates)] for _ in range(steps)])
    if not times.has_memo:
        reused[:] = False
    assert step_ends(reused, times) == naive_step_ends(reused, times)


@given(machines(), st.integers(2, 14), st.randoms(use_true_random=False))
def test_one_more_reuse_is_never_slower_on_one_unit(times, units, random):
    """SEMANTICS 4, for machines whose reuse path is not longer than their evaluation path."""
    times = times._replace(has_memo=True, pass_on_cycles=min(times.pass_on_cycles, times.dot_cycles))
    reused = np.array([[[random.random() < 0.5 for _ in range(units)]]])
    more = reused.copy()
    more[0, 0, random.randrange(units)] = True
    assert step_ends(more, times) <= step_ends(reused, times)
