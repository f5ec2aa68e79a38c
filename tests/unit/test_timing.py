"""Step times: the closed form, edges pinned to the cycle, and the recurrence against its formulas."""

import numpy as np
import pytest
from harness import arch_with, machines, make_network, make_trace, naive_shared_step_ends, naive_step_ends
from hypothesis import given
from hypothesis import strategies as st

from archsim.activity import PassShape
from archsim.config.arch import ArchSpec
from archsim.inference.run import run_inference
from archsim.kernels.jit import outer
from archsim.kernels.pipeline.lanes import LANES, MAX_GATES, scratch_rows
from archsim.kernels.pipeline.recurrence import EVALUATED, LAST_FREE, ON_DECISION, ON_RESULTS, REUSED
from archsim.kernels.pipeline.resident import time_pass
from archsim.policies import policy_from
from archsim.sim.accelerator import simulate_activity
from archsim.sim.items import PassSegment
from archsim.sim.machines.epur import pass_level
from archsim.sim.machines.epur.costs import step_times
from archsim.sim.machines.epur.pass_level import segment_costs


def ends(reused, arch=None, n_inputs=32):
    """Return S_{t+1} of decisions (T, G, H) on a machine."""
    reused = np.asarray(reused, np.bool_)
    _, G, H = reused.shape
    times = step_times(arch or ArchSpec(), PassSegment(PassShape(0, 0, G, H, n_inputs)))
    return step_ends(reused, times)


def step_ends(reused, times):
    T, G, H = reused.shape
    return time_pass(np.packbits(reused.reshape(T, -1), axis=1), G, H, times).step_ends.tolist()


@pytest.mark.parametrize("n_inputs, units", [(16, 1), (17, 5), (256, 128), (960, 320)])
def test_baseline_step_equals_the_closed_form(n_inputs, units):
    """SEMANTICS 2.2: H·c_d + L_d + L_m + L_w per step."""
    step = units * -(-n_inputs // 16) + 8 + 20 + 1
    result = ends(np.zeros((3, 4, units)), ArchSpec().without_memo(), n_inputs)
    assert result == [step, 2 * step, 3 * step]


def test_memo_hit_takes_27_cycles():
    """One neuron, reused: decided at 5, passed on at 6, updated by 26, written back at 27."""
    assert ends([[[1]]]) == [5 + 1 + 20 + 1]


def test_memo_miss_takes_decision_and_evaluation():
    """One neuron, evaluated: 5 to decide, 2 to multiply, 8 in the pipeline."""
    assert ends([[[0]]]) == [5 + 2 + 8 + 20 + 1]


def test_added_cycle_of_fmu_latency_delays_a_hit_by_one_cycle():
    assert ends([[[1]]], arch_with(fmu__latency_cycles=6))[0] == ends([[[1]]])[0] + 1


def test_inputs_wider_than_the_fmu_take_two_issue_cycles():
    """N = 2049 needs two cycles of a 2048-bit unit, so the first decision is one cycle later."""
    assert ends([[[1]]], n_inputs=2048) == [27] and ends([[[1]]], n_inputs=2049) == [28]


def test_step_of_hits_takes_one_cycle_per_neuron():
    """Neuron n is passed on at 6 + n; the last of 10 at 15."""
    assert ends(np.ones((1, 4, 10))) == [5 + 10 + 20 + 1]


def test_hit_behind_a_miss_is_delivered_after_it():
    """A reused neuron behind an evaluated one is delivered with it, not before."""
    evaluated_then_reused = ends([[[0, 1]]])
    assert evaluated_then_reused == [5 + 2 + 8 + 1 + 20 + 1]


def test_run_ahead_of_one_credit_serialises_decisions():
    """With one credit, a neuron is issued when its predecessor is taken: 5 + 1 cycles apart, less the overlap."""
    free_running = ends(np.ones((1, 1, 8)))
    one_credit = ends(np.ones((1, 1, 8)), arch_with(fmu__run_ahead=1))
    assert one_credit[0] - free_running[0] == 7 * (5 - 1)


def test_result_lag_of_one_keeps_units_in_step():
    """One gate evaluates everything, the other nothing, with one result in flight."""
    mixed = np.zeros((1, 2, 6))
    mixed[:, 1] = 1
    assert ends(mixed, arch_with(mu__result_lag=1))[0] > ends(mixed)[0]


def test_slowest_gate_sets_the_step():
    alone, together = np.zeros((1, 1, 9)), np.ones((1, 4, 9))
    together[:, 2] = 0
    assert ends(together) == ends(alone)


@given(machines(), st.integers(1, 4), st.integers(1, 12), st.integers(1, 4), st.randoms(use_true_random=False))
def test_gate_kernel_equals_the_recurrence(times, gates, units, steps, random):
    """The kernel against the formulas of SEMANTICS 2.2, term by term."""
    reused = np.array([[[random.random() < 0.5 for _ in range(units)] for _ in range(gates)] for _ in range(steps)])
    if not times.has_memo:
        reused[:] = False
    assert step_ends(reused, times) == naive_step_ends(reused, times)


@st.composite
def long_passes(draw):
    """Decisions (T, G, H) of steps that fill all lanes, more or fewer; equal ones follow each other."""
    n_steps = draw(st.sampled_from([1, 2, LANES - 1, LANES, LANES + 1, 2 * LANES + 3]))
    gates, units = draw(st.integers(1, 4)), draw(st.sampled_from([1, 2, 5, 11]))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    reused = rng.random((n_steps, gates, units)) < draw(st.sampled_from([0, 0.2, 0.5, 0.9, 1]))
    return reused[np.sort(rng.integers(0, n_steps, n_steps))] if draw(st.booleans()) else reused


@given(machines(), long_passes(), st.booleans())
def test_steps_timed_together_equal_steps_timed_alone(times, reused, shared):
    """Times, waits, counts and spans are equal, and the times are those of the formulas."""
    times = times._replace(has_memo=times.has_memo or shared, decision_cycles=max(times.decision_cycles, 1))
    if not times.has_memo:
        reused = np.zeros_like(reused)
    n_steps, gates, units = reused.shape
    bits = np.packbits(reused.reshape(n_steps, -1), axis=1)
    result = time_pass(bits, gates, units, times, shared=shared, spans=True)
    alone = [time_pass(bits[t : t + 1], gates, units, times, shared=shared, spans=True) for t in range(n_steps)]
    starts = np.concatenate([[0], result.step_ends[:-1]])
    assert np.array_equal(np.diff(result.step_ends, prepend=0), [one.step_ends[0] for one in alone])
    assert np.array_equal(result.tally, sum(one.tally for one in alone))
    assert np.array_equal(result.update_wait, sum(one.update_wait for one in alone))
    for t, one in enumerate(alone):
        assert np.array_equal(result.spans[t], starts[t] + one.spans[0])
        assert np.array_equal(result.update_spans[t], starts[t] + one.update_spans[0])
    naive = naive_shared_step_ends if shared else naive_step_ends
    assert result.step_ends.tolist() == naive(reused, times)


@given(machines(), long_passes())
def test_work_and_waits_of_a_unit_fill_its_step(times, reused):
    """Waits follow from the decisions alone, term by term; the chain of neurons leaves no gap."""
    if not times.has_memo:
        times, reused = times._replace(issue_cycles=0), np.zeros_like(reused)
    n_steps, gates, units = reused.shape
    result = time_pass(np.packbits(reused.reshape(n_steps, -1), axis=1), gates, units, times, spans=True)
    tally, starts = result.tally.T, np.concatenate([[0], result.step_ends[:-1]])
    worked = tally[EVALUATED] * times.dot_cycles + tally[REUSED] * times.memo_hit_cycles
    busy = (result.spans[:, :, LAST_FREE] - starts[:, np.newaxis]).sum(axis=0)
    assert np.array_equal(worked + tally[ON_DECISION] + tally[ON_RESULTS], busy)
    assert np.array_equal(tally[REUSED], reused.sum(axis=(0, 2))) and (tally >= 0).all()


@given(machines(), st.integers(2, 14), st.randoms(use_true_random=False))
def test_added_reuse_is_never_slower_on_one_unit(times, units, random):
    """SEMANTICS 4, for machines whose reuse path is not longer than their evaluation path."""
    times = times._replace(has_memo=True, memo_hit_cycles=min(times.memo_hit_cycles, times.dot_cycles))
    reused = np.array([[[random.random() < 0.5 for _ in range(units)]]])
    more = reused.copy()
    more[0, 0, random.randrange(units)] = True
    assert step_ends(more, times) <= step_ends(reused, times)


def test_segment_costs_are_computed_once_per_segment(monkeypatch):
    """Three passes and five sequences take three computations."""
    asked = []
    monkeypatch.setattr(pass_level, "segment_costs", lambda *args: (asked.append(args), segment_costs(*args))[1])
    network = make_network("gru", inputs=5, units=4, layers=3)
    activity = run_inference(network, make_trace(network, [3] * 5), policy_from("none")).activity
    simulate_activity(network, activity, ArchSpec())
    assert len(asked) == 3


def test_passes_of_more_gates_than_a_kernel_has_rows_for_are_refused():
    with pytest.raises(ValueError, match=f"{MAX_GATES + 1} gates"):
        ends(np.ones((1, MAX_GATES + 1, 3)))


def test_scratch_rows_are_apart_from_each_other():
    result = np.zeros((3, LANES), np.int64)
    _sum_scratch_rows(np.arange(LANES), result)
    assert np.array_equal(result, [np.arange(LANES), np.arange(LANES) + 1, 2 * np.arange(LANES) + 1])


@outer
def _sum_scratch_rows(row, result):
    pair, total = scratch_rows(2), scratch_rows(1)
    for lane in range(LANES):
        pair[0, lane] = row[lane]
        pair[1, lane] = row[lane] + 1
        total[0, lane] = pair[0, lane] + pair[1, lane]
    for lane in range(LANES):
        result[0, lane] = pair[0, lane]
        result[1, lane] = pair[1, lane]
        result[2, lane] = total[0, lane]
