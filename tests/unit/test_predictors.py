"""Predictors against the semantics written out naively: folded steps, codes and decisions."""

from dataclasses import replace

import numpy as np
import pytest
from harness import (
    arch_with,
    make_network,
    make_trace,
    naive_code,
    naive_drift_rule,
    naive_ternary,
)

import archsim
from archsim.config.predictor import BitPlanePredictor
from archsim.inference.run import run_inference
from archsim.ir.network import Scales
from archsim.policies import NoReuse, policy_from
from archsim.policies.quantised import LEVEL_SPACING, TERNARY_INPUT, TERNARY_WEIGHT

TERNARY, LOWBIT = "ternary", "lowbit"


def naive_predictions(policy, network, inputs, hidden):
    """Return integer predictions (T, G·H) of a one-layer network from inputs (T, I) and earlier hidden values (T, H)."""
    side, (x_scale, h_scale) = network.layers[0].directions[0], (network.scales.inputs[0], network.scales.hidden[0][0])
    share = np.float32(TERNARY_INPUT if policy.name.startswith(TERNARY) else LEVEL_SPACING[policy.bits])
    x_spacing, h_spacing = share * np.float32(x_scale), share * np.float32(h_scale)
    weights = np.hstack([side.weight_ih * x_spacing, side.weight_hh * h_spacing])
    means = np.abs(weights.astype(np.float64)).mean(axis=1).astype(np.float32)[:, None]
    values = np.hstack([inputs / x_spacing, hidden / h_spacing]).astype(np.float32)
    if policy.name.startswith(TERNARY):
        values = np.hstack([naive_ternary(inputs, x_spacing), naive_ternary(hidden, h_spacing)])
        return values @ naive_ternary(weights, np.float32(TERNARY_WEIGHT) * means).T
    codes = np.hstack([naive_code(inputs, x_spacing, policy.bits), naive_code(hidden, h_spacing, policy.bits)])
    return codes @ naive_code(weights, share * means, policy.bits).T


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize(
    "name",
    [
        "ternary",
        "ternary:throttle=off",
        "lowbit",
        "lowbit:bits=2,throttle=off",
        "lowbit:bits=5,guard=3",
        "lowbit:bits=8",
    ],
)
def test_reuse_decisions_equal_the_naive_rule_to_the_bit(cell, name):
    """Predictions take the network's own hidden values; both sides are the same float32 operations."""
    network, policy = make_network(cell, inputs=7, units=9), policy_from(name)
    trace = make_trace(network, [40])
    result = run_inference(network, trace, policy, 0.4, precision="fp32")
    hidden = np.vstack([np.zeros((1, 9), np.float32), result.outputs[0][:-1]])
    predictions = naive_predictions(policy, network, trace.sequences[0], hidden)
    rule = [naive_drift_rule(of_neuron, 0.4, policy.throttle, policy.guard) for of_neuron in predictions.T]
    reused = result.activity.reused(0, 0, 0).reshape(40, -1)
    assert (reused == np.array(rule).T).all()
    assert 0 < reused.mean() < 1


def test_guard_evaluates_all_neurons_every_n_steps(tiny_lstm, tiny_trace):
    result = archsim.simulate(tiny_lstm, tiny_trace, policy="bnn:guard=4", threshold=1e9)
    reused = result.activity.reused(2, 0, 0)
    steps = np.arange(len(reused))
    assert not reused[steps % 4 == 0].any() and reused[steps % 4 != 0].all()


@pytest.mark.parametrize("correction", [[0.0], np.zeros((1, 1, 1), np.float32), np.float64(1)])
def test_invalid_correction_of_a_plug_in_is_refused(correction, tiny_lstm, tiny_trace):
    class Correcting(NoReuse):
        name = "correcting"

        def __init__(self):
            self.correction = correction

        def begin(self, context):
            return self

        def decide(self, step):
            return np.zeros(step.shape, np.bool_)

    with pytest.raises(archsim.ArchsimError, match="'correcting' corrects by"):
        archsim.simulate(tiny_lstm, tiny_trace, policy=Correcting())


def test_zero_scales_and_zero_weights_reuse_everything():
    """The codes never change, so every neuron is reused after the first step."""
    network = make_network("lstm", inputs=4, units=3)
    side = network.layers[0].directions[0]
    silent = replace(
        side,
        weight_ih=side.weight_ih * 0,
        weight_hh=side.weight_hh * 0,
        bias_ih=side.bias_ih * 0,
        bias_hh=side.bias_hh * 0,
    )
    network = replace(
        network, layers=(replace(network.layers[0], directions=(silent,)),), scales=Scales((0.0,), ((0.0,),))
    )
    trace = archsim.Trace.from_arrays([np.zeros((5, 4), np.float32)])
    for name in ("ternary", "lowbit"):
        record = archsim.simulate(network, trace, policy=name, threshold=0.0).record
        assert record["neurons_reused"] == 4 * 12


def test_predictor_bits_set_planes_operations_memo_and_area(tiny_lstm, tiny_trace):
    """Three planes take nine bit operations per input and wider memo words, in counts, energy and area."""
    results = {
        name: archsim.simulate(tiny_lstm, tiny_trace, policy=name, threshold=0.3)
        for name in ("bnn", "ternary", "lowbit")
    }
    fmus = {name: result.simulated.arch.fmu for name, result in results.items()}
    assert [(f.planes, f.bit_operations, f.memo_entry_bytes) for f in fmus.values()] == [
        (1, 1, 8),
        (2, 1, 8),
        (3, 3, 8),
    ]
    steps = results["bnn"].record["steps"]
    for name, operations in (("bnn", 1), ("ternary", 2), ("lowbit", 9)):
        timed = results[name].simulated
        counted = sum(s.neurons_per_step * s.n_inputs * steps for s in results[name].activity.shapes)
        assert timed.count("fmu", "xnor_popcount") == operations * counted
        quantised = (fmus[name].planes - 1) * sum(s.n_gates * s.n_inputs * steps for s in results[name].activity.shapes)
        assert timed.count("fmu", "quantise") == quantised
    areas = [result.simulated.areas_mm2 for result in results.values()]
    assert areas[1]["sign_bank"] == 2 * areas[0]["sign_bank"] and areas[2]["fmu"] == 3 * areas[0]["fmu"]


def test_each_plane_adds_an_issue_cycle_per_neuron():
    """SEMANTICS 2.2: c_f = ceil(P·N / W_b); a step's last decision waits for four issues. A sum of nine signs is never 0."""
    network = make_network("lstm", inputs=5, units=4)
    trace = make_trace(network, [6])
    machines = [arch_with(fmu__width_bits=9, fmu__planes=planes) for planes in (1, 2, 3)]
    results = [archsim.simulate(network, trace, arch, threshold=1e9) for arch in machines]
    cycles = [result.timing.step_end_cycles(0, 0, 0)[-1] for result in results]
    assert np.diff(cycles).tolist() == [6 * 4, 6 * 4]


def test_extra_planes_are_fetched_and_memo_depth_is_kept(tiny_lstm, tiny_trace):
    plain, wide = (archsim.simulate(tiny_lstm, tiny_trace, policy=p, threshold=0.3) for p in ("bnn", "lowbit:bits=8"))
    extra = sum(s.n_gates * -(-7 * s.n_units * s.n_inputs // 8) for s in plain.activity.shapes)
    assert wide.record["dram_bytes"] - plain.record["dram_bytes"] == extra
    fmu = arch_with().with_predictor(BitPlanePredictor(8, 8, 65025), n_inputs=960).fmu
    assert fmu.memo_entry_bytes == 10 and fmu.memo_buffer_bytes == 10 * 1024


@pytest.mark.parametrize("cell, better", [("lstm", 5), ("gru", 2)])
def test_corrected_outputs_stay_near_those_without_reuse(cell, better):
    """Everything is reused after the first step, and yet the network follows its inputs: the prediction carries them.

    A GRU's candidate less so, whose input part takes the correction of both.
    """
    network = make_network(cell, inputs=7, units=9)
    scales = Scales((0.8,), ((0.2,),))
    trace = make_trace(network, [12])
    network = replace(network, scales=scales)
    plain = run_inference(network, trace, NoReuse(), precision="fp32").outputs[0]
    stale, corrected = (
        run_inference(network, trace, policy_from(f"lowbit:bits=6{correct}"), 1e30, precision="fp32")
        for correct in ("", ",correct=on")
    )
    assert corrected.activity.neurons_reused() >= 0.9 * 11 * network.neurons_per_step
    worst_stale, worst = (np.abs(result.outputs[0] - plain).max() for result in (stale, corrected))
    assert worst < worst_stale / better


def test_correction_is_the_change_of_the_prediction_times_its_unit():
    network = make_network("lstm", inputs=3, units=2)
    trace, policy = make_trace(network, [6]), policy_from("lowbit:bits=4,correct=on")
    seen = []

    class Watching(type(policy)):
        def begin(self, context):
            self.running = super().begin(context)
            return self

        def decide(self, step):
            memo = self.running.decider.memo.copy()
            reused = self.running.decide(step)
            self.correction = self.running.correction
            seen.append((reused, self.correction, self.running.decider.now - memo))
            return reused

    watching = Watching(bits=4, correct=True)
    run_inference(network, trace, watching, 0.8)
    assert any(reused.any() for reused, *_ in seen)
    unit = watching.running.decider.network.correction_scale.reshape(1, 4, 2)
    for reused, correction, change in seen[1:]:
        assert (correction == np.where(reused, change.astype(np.float32) * unit, 0)).all()


def test_correction_costs_one_multiply_add_per_decision(tiny_lstm, tiny_trace):
    plain, corrected = (
        archsim.simulate(tiny_lstm, tiny_trace, policy=f"lowbit{option}", threshold=0.0)
        for option in ("", ":correct=on")
    )
    assert plain.simulated.count("corrector", "mac") == 0
    assert corrected.simulated.count("corrector", "mac") == corrected.record["neurons_total"]
    assert corrected.simulated.areas_mm2["corrector"] > 0 and "corrector" not in plain.simulated.areas_mm2
    assert corrected.simulated.arch.fmu.memo_entry_bytes == plain.simulated.arch.fmu.memo_entry_bytes + 2
