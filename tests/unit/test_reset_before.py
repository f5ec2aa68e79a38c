"""GRU with reset before the product: function, policies, times to the cycle, energy, and what it refuses."""

from dataclasses import replace

import numpy as np
import pytest
from harness import COLUMN_POLICIES, arch_with, called_in_python, machines, make_network, make_trace, naive_step_ends
from hypothesis import given
from hypothesis import strategies as st

import archsim
from archsim.activity import PassShape
from archsim.config.arch import ArchSpec
from archsim.inference.run import run_inference
from archsim.ir.saving import save_network
from archsim.kernels.pipeline.resident import time_pass
from archsim.policies import policy_from
from archsim.reproduce.observer import observe_steps
from archsim.sim.items import PassSegment
from archsim.sim.machines.epur.costs import step_times

CELL = "gru-reset-before"


def small(units=7, **sizes):
    return make_network(CELL, inputs=5, units=units, **sizes)


# Function


def test_one_step_by_hand():
    """r = z = 1/2 of zero weights; the candidate is tanh of h/2 times 1."""
    zero, hidden = np.zeros((3, 1), np.float32), np.array([[0], [0], [1]], np.float32)
    network = archsim.Network.from_weights(CELL, weight_ih=[zero], weight_hh=[hidden])
    trace = archsim.Trace.from_arrays([np.zeros((2, 1))]).starting_in({(0, 0): ([[0.5]], [[0.0]])})
    outputs = archsim.simulate(network, trace, policy="none", precision="fp32").outputs[0][:, 0]
    first = 0.5 * np.tanh(0.5 * 0.5) + 0.5 * 0.5
    assert outputs == pytest.approx([first, 0.5 * np.tanh(0.5 * first) + 0.5 * first], abs=1e-6)


@pytest.mark.parametrize("name", ["bnn", "oracle", "ternary", "lowbit:correct=on", "bnn:guard=2"])
def test_policy_called_in_python_equals_the_kernel(name):
    """A plug-in that calls the built-in policy is asked twice a step, and decides the same."""
    network = small(layers=2, bidirectional=True)
    trace, policy = make_trace(network, [6, 9, 3]), policy_from(name)

    ours, theirs = (run_inference(network, trace, p, 0.3) for p in (policy, called_in_python(policy)))
    assert 0 < ours.activity.avoided_fraction == theirs.activity.avoided_fraction < 1
    for a, b in zip(ours.outputs, theirs.outputs, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_predictor_of_the_candidate_sees_the_reset_hidden_values(precision):
    """In fp16 they are rounded to binary16, because the input buffer holds them."""
    seen = []

    class Watching:
        name, needs_threshold, uses_memo_unit = "watching", False, False

        def begin(self, context):
            def decide(self, step):
                seen.append((context.n_gates, step.h.copy(), step.exact.copy()))
                return np.zeros(step.shape, np.bool_)

            return type("Pass", (), {"decide": decide})()

    network = small(units=3)
    run_inference(network, make_trace(network, [4]), Watching(), precision=precision)
    d, H, tolerance = network.layers[0].directions[0], 3, {"fp32": 1e-6, "fp16": 5e-4}[precision]
    bias = d.bias_ih + d.bias_hh
    assert [n for n, *_ in seen] == [2, 1] * 4
    for (_, h, exact), (_, reset_h, _) in zip(seen[::2], seen[1::2], strict=True):
        r = 1 / (1 + np.exp(-(exact[0, 0] + bias[:H])))
        np.testing.assert_allclose(reset_h[0], r * h[0], atol=tolerance)
        assert not np.any(reset_h) or (reset_h == np.float16(reset_h)).all() == (precision == "fp16")


# Refusals


@pytest.mark.parametrize("policy", COLUMN_POLICIES)
def test_policies_that_skip_columns_are_refused_with_the_reason(policy):
    network = small()
    with pytest.raises(archsim.ArchsimError, match=f"l0: policy '{policy}' skips columns.*reads r ⊙ h"):
        archsim.simulate(network, make_trace(network, [3]), policy=policy, threshold=0.1)


def test_shared_dispatch_is_refused_with_the_reason():
    network = small()
    with pytest.raises(archsim.ArchsimError, match="l0: dispatch = 'shared': the last gate .* waits for the first"):
        archsim.simulate(network, make_trace(network, [3]), arch_with(dispatch="shared"), "bnn", 0.1)


# Files


def test_network_folder_keeps_the_cell(tmp_path):
    network = small(layers=2, bidirectional=True)
    saved = archsim.load_network(save_network(network, tmp_path / "net"))
    assert {layer.cell.name for layer in saved.layers} == {CELL}
    ours, theirs = (archsim.simulate(n, make_trace(n, [4]), policy="none").outputs for n in (network, saved))
    np.testing.assert_array_equal(ours[0], theirs[0])


# Time


def shape(units, n_inputs=32):
    return PassShape(0, 0, n_gates=3, n_units=units, n_inputs=n_inputs, resets_before=True)


def ends(reused, times):
    reused = np.asarray(reused, np.bool_)
    bits = np.packbits(reused.reshape(len(reused), -1), axis=1)
    return time_pass(bits, 3, reused.shape[2], times, resets_before=True).step_ends.tolist()


@pytest.mark.parametrize("n_inputs, units", [(16, 1), (17, 5), (256, 128), (960, 320)])
def test_baseline_step_takes_two_chains(n_inputs, units):
    """SEMANTICS 2.2: 2·(H·c_d + L_d + L_m + L_w) per step."""
    step = 2 * (units * -(-n_inputs // 16) + 8 + 20 + 1)
    times = step_times(ArchSpec().without_memo(), PassSegment(shape(units, n_inputs)))
    assert ends(np.zeros((3, 3, units)), times) == [step, 2 * step, 3 * step]


@pytest.mark.parametrize("reused, step", [
    # r: decided at 5, passed on at 6, r ⊙ h written at 27; the candidate the same from there
    ([1, 1, 1], 27 + 27),
    ([0, 1, 1], 36 + 27),  # r evaluated: 2 to multiply, 8 in the pipeline, instead of 1
    ([1, 1, 0], 27 + 36),
    ([1, 0, 1], 27 + 27),  # z has time while r and the candidate go on
])  # fmt: skip
def test_one_neuron_to_the_cycle(reused, step):
    times = step_times(ArchSpec(), PassSegment(shape(1)))
    assert ends(np.array(reused).reshape(1, 3, 1), times) == [step]


def test_update_gate_waits_for_the_cell_updates_when_its_credits_are_used_up():
    """With one credit z's second neuron waits for m[0], which waits for the candidate."""
    times = step_times(arch_with(mu__result_lag=1).without_memo(), PassSegment(shape(2)))
    reset = 2 + 8 + (2 + 8) + 20 + 1  # m_r[0] at 10, m_r[1] at 20
    assert ends(np.zeros((1, 3, 2)), times) == [reset + (2 + 8) + (2 + 8) + 20 + 1]


@given(machines(), st.integers(1, 12), st.integers(1, 40), st.randoms(use_true_random=False))
def test_kernel_equals_the_recurrence(times, units, steps, random):
    reused = np.array([[[random.random() < 0.5 for _ in range(units)] for _ in range(3)] for _ in range(steps)])
    if not times.has_memo:
        reused[:] = False
    assert ends(reused, times) == naive_step_ends(reused, times, resets_before=True)


# Energy


def test_actions_are_those_of_a_gru_but_for_the_additions():
    """r ⊙ h takes the place of r·y_h and, in the candidate's input buffer, of h; two biases fewer are added."""
    counts = {}
    for cell in (CELL, "gru"):
        network = make_network(cell, inputs=5, units=7)
        counts[cell] = archsim.simulate(network, make_trace(network, [4]), policy="none").simulated.counts
    differing = {action for action in counts["gru"] if counts["gru"][action] != counts[CELL][action]}
    on_chip = {action for action in differing if action[0] not in ("dram", "main_memory")}
    assert on_chip == {("mu", "add")}
    assert counts["gru"]["mu", "add"] - counts[CELL]["mu", "add"] == 2 * 7 * 4
    assert counts[CELL]["mu", "multiply"] == 3 * 7 * 4 and counts[CELL]["dpu", "mac"] == 3 * 7 * 12 * 4


def test_units_that_work_and_wait_fill_the_pass_and_the_breakdown_sums_to_the_total():
    network = small(units=20)
    result = archsim.simulate(network, make_trace(network, [6]), policy="bnn", threshold=0.4)
    record = result.record
    parts = ("scratchpad", "operations", "dram", "memo", "static")
    assert sum(record[f"energy_{part}_j"] for part in parts) == pytest.approx(record["energy_j"])
    assert result.energy["joules"].sum() == pytest.approx(record["energy_j"])
    assert 0 < record["reuse_fraction"] < 1 and record["macs_total"] == 3 * 20 * 25 * 6
    worked = result.simulated.unit_times.worked_ps
    assert worked["MU"] == 2 * 20 * 6 * 2000


def test_time_without_memo_is_that_of_both_details_under_the_split_data_flow():
    network = small()
    runs = [
        archsim.simulate(network, make_trace(network, [5]), arch_with(dataflow="mwl"), "none", detail=detail).record
        for detail in ("block", "neuron")
    ]
    assert runs[0]["cycles"] == runs[1]["cycles"]


def test_unpickled_or_copied_cells_are_the_same_cell():
    cell = small().layers[0].cell
    assert replace(cell) == cell and replace(cell).gate_groups == (slice(0, 2), slice(2, 3))


def test_steps_of_its_neurons_are_not_observed():
    network = small()
    with pytest.raises(archsim.ArchsimError, match="l0: not all gates of a gru-reset-before read"):
        observe_steps(network, make_trace(network, [3]), print, precision="fp32")
