"""Column-skipping inference against a delta network written as loops in float64."""

from dataclasses import replace

import numpy as np
import pytest
from harness import COLUMN_POLICIES, make_network, make_tokens, make_trace, make_translator

import archsim
from archsim.inference.run import run_inference
from archsim.policies import policy_from


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def naive_pass(layer, direction, inputs, theta, policy):
    """Run a delta network as loops in float64: inputs (T, I) to outputs (T, H) and skips (T, N)."""
    H, G, v_hat = layer.hidden_size, layer.cell.n_gates, np.zeros(layer.joint_size, np.float32)
    weights = np.hstack([direction.weight_ih, direction.weight_hh]).astype(float)
    rho = np.float32(np.sqrt(layer.joint_size) * np.sqrt((weights**2).mean(axis=0)))
    rho = rho if policy.endswith(":weighted=on") else np.ones_like(rho)
    of_x, of_h = np.zeros(G * H), np.zeros(G * H)
    h, c, outputs, skips = np.zeros(H, np.float32), np.zeros(H), [], []
    for t, x in enumerate(inputs[::-1] if direction.reverse else inputs):
        v = np.concatenate([x, h]).astype(np.float32)
        if policy.startswith("input-similarity") and theta:
            spacing = np.float32(theta) / rho
            v = np.rint(v / spacing) * spacing
        still = v == v_hat if policy.startswith("input-similarity") else np.abs(v - v_hat) * rho <= np.float32(theta)
        skips.append(still if t else np.zeros_like(still))
        for i in np.flatnonzero(~skips[-1]):
            products = weights[:, i] * float(v[i] - v_hat[i])
            of_x, of_h = (of_x + products, of_h) if i < layer.input_size else (of_x, of_h + products)
            v_hat[i] = v[i]
        a, b = of_x + direction.bias_ih, of_h + direction.bias_hh
        if layer.cell.name == "lstm":
            i_, f, g, o = (a + b).reshape(4, H)
            c = sigmoid(f) * c + sigmoid(i_) * np.tanh(g)
            h = (sigmoid(o) * np.tanh(c)).astype(np.float32)
        elif layer.cell.name == "rnn":
            h = np.tanh(a + b).astype(np.float32)
        else:
            (r, z, n), (_, _, n_h) = (a + b).reshape(3, H), b.reshape(3, H)
            z = sigmoid(z)
            n = np.tanh(a[2 * H :] + sigmoid(r) * n_h)
            h = ((1 - z) * n + z * h).astype(np.float32)
        outputs.append(h)
    return np.array(outputs[::-1] if direction.reverse else outputs), np.array(skips)


@pytest.mark.parametrize("policy", COLUMN_POLICIES)
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("theta", [0.0, 0.07, 0.3])
def test_column_skips_and_outputs_equal_a_delta_network_in_loops(cell, theta, policy):
    """Skips are equal bit by bit and outputs to 1e-5, in both directions."""
    network = make_network(cell, inputs=5, units=6, bidirectional=True)
    trace = make_trace(network, [12, 7])
    result = run_inference(network, trace, policy_from(policy), theta, precision="fp32")
    for sequence, frames in enumerate(trace.sequences):
        sides = [naive_pass(network.layers[0], d, frames, theta, policy) for d in network.layers[0].directions]
        for d, (_, skips) in enumerate(sides):
            np.testing.assert_array_equal(result.activity.skipped(sequence, 0, d), skips)
        np.testing.assert_allclose(result.outputs[sequence], np.hstack([o for o, _ in sides]), atol=1e-5)
    assert (result.activity.avoided_fraction > 0.05) == (theta > 0)


@pytest.mark.parametrize("policy", COLUMN_POLICIES)
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_zero_threshold_gives_the_outputs_without_reuse(cell, policy):
    """θ = 0 skips only unchanged inputs, so outputs equal those of no reuse, to 1e-5 in fp32 over 50 steps.

    A sum in float32 is rounded at each change: after 1000 steps of a random walk that is some 1e-4.
    """
    network = make_network(cell, inputs=20, units=30, layers=2, bidirectional=True)
    frames = make_trace(network, [1000]).sequences[0].round(1)
    trace = archsim.Trace.from_arrays([frames, frames[:50]])
    result, dense = (
        run_inference(network, trace, policy_from(name), 0.0, precision="fp32") for name in (policy, "none")
    )
    for ours, theirs, tolerance in zip(result.outputs, dense.outputs, (1e-3, 1e-5), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance)


def test_constant_input_is_skipped_after_the_first_step():
    network = make_network("lstm", inputs=4, units=3)
    trace = archsim.Trace.from_arrays([np.full((40, 4), 0.5, np.float32)])
    for name in COLUMN_POLICIES:
        skipped = run_inference(network, trace, policy_from(name), 0.0).activity.skipped(0, 0, 0)
        assert not skipped[0].any() and skipped[1:, :4].all()


@pytest.mark.parametrize("policy", COLUMN_POLICIES)
def test_outputs_depend_on_neither_batch_nor_threads(policy):
    network = make_network("gru", inputs=9, units=11, layers=2)
    trace = make_trace(network, [9, 4, 9, 1, 6])
    together = run_inference(network, trace, policy_from(policy), 0.1, threads=1)
    for threads in (2, 5):
        apart = run_inference(network, trace, policy_from(policy), 0.1, threads=threads)
        for ours, theirs in zip(together.outputs, apart.outputs, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_translator_decodes_with_column_skipping():
    network = make_translator(width=6, units=5, depth=2)
    trace = make_tokens(network, [4, 2])
    dense, still = (run_inference(network, trace, policy_from(p), 0.0, precision="fp32") for p in ("none", "delta"))
    for ours, theirs in zip(still.outputs, dense.outputs, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    moved = archsim.simulate(network, trace, policy="delta", threshold=0.2)
    assert 0 < moved.record["macs_avoided_fraction"] < 1


def test_quantiser_step_below_float32_leaves_values_unchanged():
    network = make_network("lstm", inputs=4, units=3)
    trace = make_trace(network, [5])
    fine, none = (run_inference(network, trace, policy_from("input-similarity"), t) for t in (1e-40, 0.0))
    np.testing.assert_array_equal(fine.outputs[0], none.outputs[0])


@pytest.mark.parametrize("policy", ["delta:weighted=on", "input-similarity:weighted=on"])
def test_weighted_skips_do_not_depend_on_the_unit_of_an_input(policy):
    """Inputs in another unit, and weights in its inverse: powers of two, so that both runs round alike."""
    network = make_network("gru", inputs=6, units=8)
    trace = make_trace(network, [30])
    units = np.float32(2) ** np.array([-3, 0, 5, 1, -7, 2])
    side = network.layers[0].directions[0]
    other = replace(side, weight_ih=side.weight_ih / units)
    scaled = replace(network, layers=(replace(network.layers[0], directions=(other,)),), scales=None)
    inputs = archsim.Trace.from_arrays([trace.sequences[0] * units])
    one = run_inference(network, trace, policy_from(policy), 0.3, precision="fp32").activity.skipped(0, 0, 0)
    two = run_inference(scaled, inputs, policy_from(policy), 0.3, precision="fp32").activity.skipped(0, 0, 0)
    np.testing.assert_array_equal(one, two)
    assert 0.1 < one.mean() < 0.9


@pytest.mark.parametrize("theta", [0.0, 0.3])
@pytest.mark.parametrize("policy", ["delta:weighted=on", "input-similarity:weighted=on"])
def test_input_without_weights_changes_nothing(policy, theta):
    """A column of zeros has ρ = 0: at any θ > 0 it never enters after step 0."""
    network = make_network("lstm", inputs=4, units=5)
    side = network.layers[0].directions[0]
    unread = replace(side, weight_ih=side.weight_ih * np.array([1, 1, 0, 1], np.float32))
    network = replace(network, layers=(replace(network.layers[0], directions=(unread,)),))
    trace = make_trace(network, [20])
    result = run_inference(network, trace, policy_from(policy), theta, precision="fp32")
    if theta:
        assert result.activity.skipped(0, 0, 0)[1:, 2].all()
    other = [trace.sequences[0].copy()]
    other[0][:, 2] *= -40
    same = run_inference(network, archsim.Trace.from_arrays(other), policy_from(policy), theta, precision="fp32")
    np.testing.assert_array_equal(result.outputs[0], same.outputs[0])


@pytest.mark.parametrize("reverse", [False, True])
def test_weighted_skips_take_the_stored_weights_and_inputs_of_binary16(reverse):
    network = make_network("gru", inputs=9, units=7, bidirectional=True)
    trace = make_trace(network, [40])
    result = run_inference(network, trace, policy_from("delta:weighted=on"), 0.2, precision="fp16")
    side, half = network.layers[0].directions[int(reverse)], result.outputs[0][:, 7 * reverse : 7 * reverse + 7]
    x, h = (rows[::-1] if reverse else rows for rows in (trace.sequences[0].astype(np.float16), half))
    values = np.hstack([x, np.vstack([np.zeros((1, 7)), h[:-1]])]).astype(np.float32)
    weights = np.hstack([side.weight_ih, side.weight_hh]).astype(np.float16).astype(float)
    rho, theta = np.sqrt((weights**2).sum(axis=0) * 16 / 21).astype(np.float32), np.float32(0.2)
    propagated, skips = values[0].copy(), [np.zeros(16, bool)]
    for row in values[1:]:
        skips.append(np.abs(row - propagated) * rho <= theta)
        propagated[~skips[-1]] = row[~skips[-1]]
    np.testing.assert_array_equal(result.activity.skipped(0, 0, int(reverse)), skips)
    assert 0.1 < np.mean(skips) < 0.9
