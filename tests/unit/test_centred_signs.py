"""Signs of centred inputs, `bnn:centre=on`: means, decisions against the semantics written naively, and cost."""

from dataclasses import replace

import numpy as np
import pytest
from harness import arch_with, make_network, make_trace, naive_binary_product, naive_drift_rule
from hypothesis import given, settings
from hypothesis import strategies as st

import archsim
from archsim.config.technology import load_technology
from archsim.energy.parts import area_mm2
from archsim.inference.run import run_inference
from archsim.kernels.prediction.reuse_decider import NO_NETWORK, SIGNS, decide, make_reuse_decider
from archsim.policies import policy_from
from archsim.sim.machines import EPUR

CENTRED = "bnn:centre=on"


def positive_trace(network, lengths):
    """Return frames that are never negative and whose elements have means of their own, as after a ReLU."""
    offsets = np.linspace(0.2, 3, network.input_size, dtype=np.float32)
    moved = [np.abs(frames) + offsets for frames in make_trace(network, lengths).sequences]
    return archsim.Trace.from_arrays(moved)


def measured(network, trace, precision="fp32"):
    return replace(network, scales=archsim.measure_scales(network, trace, precision=precision))


@settings(max_examples=20, deadline=None)
@given(
    cell=st.sampled_from(["lstm", "gru", "gru-reset-before", "rnn"]),
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    bidirectional=st.booleans(),
)
def test_measured_means_are_those_of_the_inputs_of_each_layer_in_float32(cell, lengths, bidirectional):
    network = make_network(cell, inputs=5, units=4, layers=2, bidirectional=bidirectional)
    trace = positive_trace(network, lengths)
    means = measured(network, trace).scales.means
    below = replace(network, layers=network.layers[:1], scales=None)
    inputs = [trace.sequences, run_inference(below, trace, policy_from("none"), precision="fp32").outputs]
    for of_layer, sequences in zip(means, inputs, strict=True):
        expected = np.concatenate(sequences).mean(axis=0, dtype=np.float64).astype(np.float32)
        np.testing.assert_allclose(np.array(of_layer, np.float32), expected, rtol=3e-7, atol=1e-9)
        assert all(float(np.float32(value)) == np.float32(value) for value in of_layer)
    backwards = archsim.Trace.from_arrays(trace.sequences[::-1])
    assert measured(network, backwards).scales.means == means


@pytest.mark.parametrize("theta", [0.0, 0.4])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_decisions_equal_the_binary_network_of_centred_inputs_to_the_bit(cell, theta):
    """Hidden values are the run's own; weights and h keep their signs as they are."""
    network = make_network(cell, inputs=70, units=9, bidirectional=True)
    trace = positive_trace(network, [40, 23])
    network = measured(network, trace)
    result, plain = (
        run_inference(network, trace, policy_from(name), theta, precision="fp32") for name in (CENTRED, "bnn")
    )
    mu = np.array(network.scales.means[0], np.float32)
    for sequence, frames in enumerate(trace.sequences):
        for d, side in enumerate(network.layers[0].directions):
            x, h = (rows[:: 1 - 2 * d] for rows in (frames, result.outputs[sequence][:, 9 * d : 9 * d + 9]))
            rows = np.hstack([x - mu, np.vstack([np.zeros((1, 9), np.float32), h[:-1]])])
            weights = np.hstack([side.weight_ih, side.weight_hh])
            predictions = np.array([naive_binary_product(weights, row) for row in rows])
            expected = np.array([naive_drift_rule(of_neuron, theta) for of_neuron in predictions.T]).T
            reused = result.activity.reused(sequence, 0, d)
            np.testing.assert_array_equal(reused.reshape(len(frames), -1), expected)
            assert 0 < expected.mean() < plain.activity.reused(sequence, 0, d).mean() < 1


def test_reset_before_and_lower_layers_are_centred_on_means_of_their_own():
    """Means far above all inputs, below them, and 0 give the bits of constant inputs or of plain signs."""
    network = make_network("gru-reset-before", inputs=6, units=5, layers=2)
    trace = make_trace(network, [25])
    zero, high = (replace(network.scales, means=((m,) * 6, (m,) * 5)) for m in (0.0, 1e3))
    runs = {
        name: run_inference(replace(network, scales=scales), trace, policy_from(name), 0.3).activity.neurons_reused()
        for name, scales in (("bnn", zero), (CENTRED, zero))
    }
    assert runs["bnn"] == runs[CENTRED]
    blind = run_inference(replace(network, scales=high), trace, policy_from(CENTRED), 0.3).activity.neurons_reused()
    assert blind > runs["bnn"]


def test_network_without_means_is_refused_with_advice(tiny_lstm, tiny_trace):
    older = replace(tiny_lstm, scales=replace(tiny_lstm.scales, means=None))
    for network in (older, replace(tiny_lstm, scales=None)):
        with pytest.raises(archsim.ArchsimError, match="no means of inputs.*'bnn:centre=on'.*measure_scales"):
            archsim.simulate(network, tiny_trace, policy=CENTRED, threshold=0.3)
    assert archsim.calibrate(older, tiny_trace, policy=CENTRED, max_change=0.5) >= 0


@pytest.mark.parametrize(
    ("means", "message"),
    [
        (((0.0,) * 5,), "scales.means has .5. entries, need .5, 8."),
        (((0.0,) * 5, (0.0,) * 3), "has .5, 3. entries, need .5, 8."),
        (((0.0,) * 5, (float("nan"),) * 8), "scales.means hold nan"),
        (((0.0,) * 5, (-1e300,) * 8), "scales.means hold -1e.300"),
    ],
)
def test_means_that_do_not_fit_the_network_are_refused(means, message, tiny_lstm):
    assert [layer.input_size for layer in tiny_lstm.layers] == [5, 8]
    with pytest.raises(archsim.ArchsimError, match=message):
        replace(tiny_lstm, scales=replace(tiny_lstm.scales, means=means))


def test_saved_means_are_read_back_to_the_bit(tmp_path):
    from archsim.ir.saving import save_network

    network = make_network("lstm", inputs=7, units=3, layers=2)
    network = measured(network, positive_trace(network, [9, 4]))
    assert archsim.load_network(save_network(network, tmp_path / "net")).scales == network.scales


def test_means_enter_the_digest_of_the_policy_that_needs_them(tiny_lstm, tiny_trace):
    moved = replace(tiny_lstm, scales=replace(tiny_lstm.scales, means=((0.5,) * 5, (0.5,) * 8)))

    def digest(network, policy):
        return archsim.simulate(network, tiny_trace, policy=policy, threshold=0.2).record["digest"]

    assert digest(tiny_lstm, CENTRED) != digest(moved, CENTRED)
    assert digest(tiny_lstm, "lowbit") == digest(moved, "lowbit")


@pytest.mark.parametrize(("precision", "n_bytes"), [("fp16", 2), ("int8", 1), ("int4", 1)])
@pytest.mark.parametrize("dataflow", ["step", "mwl"])
def test_levels_cost_a_copy_per_pass_and_comparisons_per_step(dataflow, precision, n_bytes):
    """An LSTM of 20 units over 12 inputs: 32 levels per gate, as wide as an input, in words of 32 bytes; 2 sequences.

    So there are as many words as a level has bytes.
    """
    network = make_network("lstm", inputs=12, units=20)
    trace = archsim.Trace.from_arrays([np.ones((2, 12), np.float32), np.ones((3, 12), np.float32)])
    network = replace(network, scales=replace(network.scales, means=((0.0,) * 12,)))
    arch = arch_with(dataflow=dataflow)
    results = [
        archsim.simulate(network, trace, arch, policy=p, threshold=0.0, precision=precision) for p in ("bnn", CENTRED)
    ]
    without, having = (result.simulated.counts for result in results)
    gates, sequences, steps = 4, 2, 5
    assert having["level_buffer", "write"] == sequences * gates * n_bytes
    assert having["level_buffer", "read"] == steps * gates * n_bytes
    assert having["fmu", "quantise"] == steps * gates * 32
    memory = "intermediate_memory"
    assert having[memory, "read"] - without[memory, "read"] == sequences * gates * n_bytes
    assert having[memory, "write"] - without[memory, "write"] == gates * n_bytes
    assert results[1].record["dram_bytes"] - results[0].record["dram_bytes"] == gates * 32 * n_bytes
    np.testing.assert_array_equal(*(result.timing.step_end_cycles(1, 0, 0) for result in results))
    np.testing.assert_array_equal(*(result.activity.reused(1, 0, 0) for result in results))


@pytest.mark.parametrize("technology", ["28nm-lstp", "28nm-hp", "28nm-mixed"])
def test_level_buffer_takes_the_area_of_an_input_buffer(technology):
    plain, centred = (EPUR.spec_for(arch_with(), policy_from(p), 100) for p in ("bnn", CENTRED))
    table = load_technology(technology)
    more = {name: area for name, area in area_mm2(centred, table).items() if name not in area_mm2(plain, table)}
    assert more == {"level_buffer": area_mm2(plain, table)["input_buffer"]}


def test_levels_of_another_length_are_refused():
    network = NO_NETWORK._replace(weights_t=np.zeros((1, 1, 3), np.uint64), sign_levels=np.zeros(4, np.float32))
    decider = make_reuse_decider(SIGNS, np.zeros(1, np.float32), 1, 3, network, n_inputs=5)
    x, h = np.zeros((1, 2), np.float32), np.zeros((1, 3), np.float32)
    products = np.zeros((1, 1, 3), np.float32)
    with pytest.raises(ValueError, match="sign_levels"):
        decide(decider, 0, x, h, products, products)
