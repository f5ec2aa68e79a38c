"""The low-bit tail of delta (SEMANTICS 1.4) against a program of its own, written out naively."""

from dataclasses import replace

import numpy as np
import pytest
from harness import make_network, make_tokens, make_trace, make_translator
from harness_integers import naive_run
from harness_tail import naive_codes, naive_remainders, naive_rho, naive_tail
from hypothesis import given, settings
from hypothesis import strategies as st

import archsim
from archsim.errors import ConfigError
from archsim.inference.run import run_inference
from archsim.inference.stack import StackRunner
from archsim.kernels.prediction.tail_update import TailScales, add_tail
from archsim.policies import declaration, policy_from
from archsim.policies.delta import input_weights
from archsim.policies.tail import code_sum_type, tail_codes

F = np.float32
CELLS = ["lstm", "gru", "rnn"]
PRECISIONS = ["fp32", "fp16", "int8", "int4"]


def tail(bits):
    return policy_from(f"delta:weighted=on,tail={bits}")


def ranged_network(cell, **sizes):
    """Return a network whose inputs and hidden values have ranges, so that it runs in integers."""
    network = make_network(cell, **sizes)
    return replace(network, scales=archsim.measure_scales(network, make_trace(network, [40, 25], seed=7)))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def naive_pass(layer, direction, inputs, outputs, theta, bits, stored):
    """Run a pass on the hidden values that it gave: return outputs (T, H), skips and remainders (T, N), in its order.

    inputs, outputs in the order of the sequence; `stored` rounds weights, inputs and hidden values.
    """
    H, I, order = layer.hidden_size, layer.input_size, slice(None, None, -1 if direction.reverse else 1)
    W = stored(np.hstack([direction.weight_ih, direction.weight_hh]))
    rho, bias = naive_rho(W), (direction.bias_ih, direction.bias_hh)
    codes, spacings = naive_codes(W, rho, bits)
    is_x = np.arange(I + H) < I
    given = np.vstack([np.zeros(H, F), outputs[order][:-1]])
    sent, of_x, of_h, c, results, skips, remainders = np.zeros(I + H, F), 0, 0, np.zeros(H), [], [], []
    for t, (x, h) in enumerate(zip(stored(inputs)[order], given, strict=True)):
        v = np.concatenate([x, h])
        skips.append(np.abs(v - sent) * rho <= F(theta) if t else np.zeros(I + H, bool))
        moved = np.where(skips[-1], F(0), v - sent).astype(float)
        of_x, of_h = of_x + W[:, :I] @ moved[:I], of_h + W[:, I:] @ moved[I:]
        sent = np.where(skips[-1], sent, v)
        remainders.append(naive_remainders(v - sent, rho, theta, bits))
        of_parts = [np.where(mask, remainders[-1], 0).tolist() for mask in (True, is_x, ~is_x)]
        parts = [naive_tail(codes, spacings, part, theta, bits) for part in of_parts]
        y = (of_x + of_h + parts[0] + sum(bias)).reshape(-1, H)
        if layer.cell.name == "lstm":
            c = sigmoid(y[1]) * c + sigmoid(y[0]) * np.tanh(y[2])
            results.append(sigmoid(y[3]) * np.tanh(c))
        elif layer.cell.name == "rnn":
            results.append(np.tanh(y[0]))
        else:
            y_x, y_h = (of_x + parts[1] + bias[0])[2 * H :], (of_h + parts[2] + bias[1])[2 * H :]
            n, z = np.tanh(y_x + sigmoid(y[0]) * y_h), sigmoid(y[1])
            results.append((1 - z) * n + z * h)
    return np.array(results), np.array(skips), np.array(remainders)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("bits", range(1, 7))
@pytest.mark.parametrize("precision, tolerance", [("fp32", 1e-5), ("fp16", 6e-4)])
def test_tail_equals_the_naive_program(cell, bits, precision, tolerance):
    """Skips are equal bit by bit, outputs to 1e-5 (or half a unit of binary16), both directions, unequal lengths."""
    network = make_network(cell, inputs=5, units=6, bidirectional=True)
    trace = make_trace(network, [14, 9])
    stored = {"fp32": lambda a: a.astype(F), "fp16": lambda a: a.astype(np.float16).astype(F)}[precision]
    result = run_inference(network, trace, tail(bits), 0.4, precision=precision)
    without = run_inference(network, trace, policy_from("delta:weighted=on"), 0.4, precision=precision)
    layer, passed = network.layers[0], set()
    for sequence, frames in enumerate(trace.sequences):
        for d, direction in enumerate(layer.directions):
            own = result.outputs[sequence][:, 6 * d : 6 * d + 6]
            outputs, skips, remainders = naive_pass(layer, direction, frames, own, 0.4, bits, stored)
            np.testing.assert_array_equal(result.activity.skipped(sequence, 0, d), skips)
            np.testing.assert_allclose(own[:: -1 if direction.reverse else 1], outputs, rtol=0, atol=tolerance)
            assert not remainders[~skips].any()
            passed.update(remainders.ravel().tolist())
    largest = max(1, 2 ** (bits - 1) - 1)
    assert passed == set(range(-largest, largest + 1)) or bits > 4
    assert np.abs(result.outputs[0] - without.outputs[0]).max() > 1e-3


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("bits", [1, 2, 3, 6])
@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_tail_in_integers_equals_the_naive_program_bit_by_bit(cell, bits, precision):
    network = ranged_network(cell, inputs=5, units=4, layers=2, bidirectional=True)
    trace = make_trace(network, [12])
    result = run_inference(network, trace, tail(bits), 0.3, precision=precision)
    outputs, passes = naive_run(network, trace.sequences[0], precision, f"delta:weighted=on,tail={bits}", 0.3)
    np.testing.assert_array_equal(result.outputs[0], outputs)
    for (layer, d), one in passes.items():
        np.testing.assert_array_equal(result.activity.skipped(0, layer, d), one.decisions)


def test_tail_with_a_projection_equals_the_naive_program_bit_by_bit():
    network = ranged_network("lstm", inputs=5, units=6, projection=3, bidirectional=True)
    trace = make_trace(network, [12])
    result = run_inference(network, trace, tail(3), 0.3, precision="int8")
    outputs, passes = naive_run(network, trace.sequences[0], "int8", "delta:weighted=on,tail=3", 0.3)
    np.testing.assert_array_equal(result.outputs[0], outputs)
    assert 0.1 < np.mean([one.decisions for one in passes.values()]) < 0.9


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.integers(1, 40), st.integers(1, 70), st.integers(0, 2**32 - 1))
def test_sums_of_codes_equal_those_of_python_integers(bits, n, m, seed):
    """However elements enter and sequences end, sums are those of the codes of the step, and y has two roundings."""
    rng = np.random.default_rng(seed)
    largest, theta = max(1, 2 ** (bits - 1) - 1), F(rng.choice([0.01, 1.0, 30.0]))
    rho = rng.exponential(1, n).astype(F)
    codes = 2 * rng.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (m, n)) + 1
    value = rng.normal(size=m).astype(F)
    scales = TailScales(rho, F(largest) / theta, F(largest), value)
    codes_t = np.ascontiguousarray(codes.T.astype(np.int8))
    remainders, out = np.zeros((5, n), np.int8), np.zeros((5, m), F)
    sums = np.zeros((5, m), code_sum_type(n, bits))
    sent = np.zeros((5, n), F)
    for B in (5, 5, 3, 3, 1):
        v = (rng.normal(size=(B, n)) * theta).astype(F)
        enters = np.abs(v - sent[:B]) * rho > theta
        sent[:B][enters] = v[enters]
        products = rng.normal(size=(B, m)).astype(F)
        add_tail(v, sent[:B], codes_t, scales, remainders[:B], sums[:B], products, out[:B])
        for b in range(B):
            expected = naive_remainders(v[b] - sent[b], rho, theta, bits)
            assert remainders[b].tolist() == expected and max(map(abs, expected)) <= largest
            total = [sum(int(q) * a for q, a in zip(row, expected, strict=True)) for row in codes]
            assert sums[b].tolist() == total
            np.testing.assert_array_equal(out[b], products[b] + np.array(total, F) * value)
        assert not remainders[:B][enters].any()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.integers(1, 8), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_codes_of_weights_equal_the_naive_ones(bits, rows, n, seed):
    """Also of columns and rows of zeros, and of rows with one weight far beyond the others."""
    rng = np.random.default_rng(seed)
    weights = (rng.normal(size=(rows, n)) * rng.choice([0, 1e-3, 1, 40], n) * rng.choice([0, 1, 1], (rows, 1))).astype(
        F
    )
    I = rng.integers(0, n + 1)
    rho = input_weights(weights[:, :I], weights[:, I:])
    codes, spacings = tail_codes(weights[:, :I], weights[:, I:], rho, bits)
    expected, expected_spacings = naive_codes(weights, naive_rho(weights), bits)
    np.testing.assert_array_equal(rho, naive_rho(weights))
    assert codes.tolist() == expected and spacings.tolist() == expected_spacings


@settings(max_examples=60, deadline=None)
@given(st.integers(3, 6), st.integers(1, 8), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_tail_of_three_bits_or_more_is_off_by_half_a_level_of_each_at_most(bits, rows, n, seed):
    rng = np.random.default_rng(seed)
    weights = rng.standard_t(2, (rows, n)).astype(F)
    rho = input_weights(weights, np.zeros((rows, 0), F))
    codes, spacings = tail_codes(weights, np.zeros((rows, 0), F), rho, bits)
    theta, largest = 0.3, 2 ** (bits - 1) - 1
    moves = (rng.uniform(-1, 1, n) * theta / rho).astype(F)
    passed = naive_tail(codes.tolist(), spacings, naive_remainders(moves, rho, theta, bits), theta, bits)
    of_weights = spacings / 2 * np.abs(moves * rho).sum()
    of_remainders = np.abs(codes * spacings[:, None] / 2).sum(axis=1) * theta / (2 * largest)
    assert (np.abs(passed - weights @ moves) <= 1.001 * (of_weights + of_remainders) + 1e-6).all()


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("cell", CELLS)
def test_zero_threshold_gives_the_outputs_without_tail(cell, precision):
    network = ranged_network(cell, inputs=9, units=7, layers=2, bidirectional=True)
    trace = archsim.Trace.from_arrays([frames.round(1) for frames in make_trace(network, [30, 12]).sequences])
    for theta in (0.0, 1e-44):
        with_tail, without = (
            run_inference(network, trace, policy, theta, precision=precision)
            for policy in (tail(4), policy_from("delta:weighted=on"))
        )
        for ours, theirs in zip(with_tail.outputs, without.outputs, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        assert with_tail.activity.avoided_fraction == without.activity.avoided_fraction > 0.01


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("cell", CELLS)
def test_tail_depends_on_neither_batch_nor_threads(cell, precision):
    network = ranged_network(cell, inputs=9, units=11, layers=2)
    trace = make_trace(network, [9, 4, 9, 1, 6])
    together = run_inference(network, trace, tail(3), 0.3, precision=precision, threads=1)
    for threads in (2, 5):
        apart = run_inference(network, trace, tail(3), 0.3, precision=precision, threads=threads)
        for ours, theirs in zip(together.outputs, apart.outputs, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    for i, frames in enumerate(trace.sequences):
        alone = run_inference(network, archsim.Trace.from_arrays([frames]), tail(3), 0.3, precision=precision)
        np.testing.assert_array_equal(alone.outputs[0], together.outputs[i])


def test_tail_lives_on_from_call_to_call():
    network = make_network("gru", inputs=5, units=6, layers=2)
    frames = make_trace(network, [20, 20]).sequences
    runner = StackRunner(network, tail(2), 0.4)
    whole, running = runner.run(frames), runner.begin(2)
    steps = np.stack(frames, axis=1)
    calls = np.concatenate([running.advance(steps[first:stop]) for first, stop in ((0, 1), (1, 8), (8, 20))])
    for b in range(2):
        np.testing.assert_array_equal(calls[:, b], whole.outputs[b])


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(CELLS), st.integers(1, 6), st.lists(st.integers(-9, 9), min_size=6, max_size=6))
def test_tail_does_not_depend_on_the_unit_of_an_input(cell, bits, exponents):
    """Inputs in another unit, and weights in its inverse: powers of two, so that both runs round alike."""
    network = make_network(cell, inputs=6, units=8)
    trace = make_trace(network, [30])
    units = F(2) ** np.array(exponents, F)
    side = network.layers[0].directions[0]
    other = replace(side, weight_ih=side.weight_ih / units)
    scaled = replace(network, layers=(replace(network.layers[0], directions=(other,)),), scales=None)
    inputs = archsim.Trace.from_arrays([trace.sequences[0] * units])
    one = run_inference(network, trace, tail(bits), 0.3, precision="fp32")
    two = run_inference(scaled, inputs, tail(bits), 0.3, precision="fp32")
    np.testing.assert_array_equal(one.activity.skipped(0, 0, 0), two.activity.skipped(0, 0, 0))
    np.testing.assert_array_equal(one.outputs[0], two.outputs[0])
    assert 0.05 < one.activity.avoided_fraction < 0.95


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("cell", CELLS)
def test_each_bit_from_the_second_on_changes_outputs_less(cell, precision):
    network = ranged_network(cell, inputs=20, units=30, layers=2, bidirectional=True)
    trace = make_trace(network, [60])
    exact = run_inference(network, trace, policy_from("none"), precision=precision).outputs[0]
    policies = [policy_from("delta:weighted=on"), *map(tail, (2, 3, 4, 6))]
    runs = [run_inference(network, trace, policy, 0.3, precision=precision).outputs[0] for policy in policies]
    changes = [np.linalg.norm(outputs - exact) for outputs in runs]
    assert changes == sorted(changes, reverse=True) and changes[-1] < changes[0] / 10


@pytest.mark.parametrize("theta", [0.0, 0.3])
def test_input_without_weights_adds_nothing_to_the_tail(theta):
    network = make_network("lstm", inputs=4, units=5)
    side = network.layers[0].directions[0]
    unread = replace(side, weight_ih=side.weight_ih * np.array([1, 1, 0, 1], F))
    network = replace(network, layers=(replace(network.layers[0], directions=(unread,)),))
    frames = make_trace(network, [20]).sequences[0]
    one = run_inference(network, archsim.Trace.from_arrays([frames]), tail(2), theta).outputs[0]
    frames = frames.copy()
    frames[:, 2] *= -40
    two = run_inference(network, archsim.Trace.from_arrays([frames]), tail(2), theta).outputs[0]
    np.testing.assert_array_equal(one, two)


def test_translator_decodes_with_a_tail():
    network = make_translator(width=6, units=5, depth=2)
    trace = make_tokens(network, [4, 2])
    dense, passed = (
        run_inference(network, trace, policy_from(name), 0.0, precision="fp32")
        for name in ("none", "delta:weighted=on,tail=2")
    )
    for ours, theirs in zip(passed.outputs, dense.outputs, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    moved = run_inference(network, trace, tail(2), 0.4, precision="fp32")
    assert 0 < moved.activity.avoided_fraction < 1


def test_name_spells_the_bits_and_a_policy_without_tail_is_that_of_before():
    assert tail(3).name == "delta:weighted=on,tail=3" and declaration(tail(3)).tail_bits == 3
    assert policy_from("delta:weighted=on,tail=0").name == "delta:weighted=on"
    assert [declaration(policy_from(name)).tail_bits for name in ("delta", "delta:weighted=on", "bnn")] == [0, 0, 0]


@pytest.mark.parametrize("bits", [-1, 7])
def test_plugin_with_bits_that_no_tail_has_is_refused(bits):
    policy = policy_from("delta:weighted=on")
    policy.tail_bits = bits
    network = make_network("rnn", inputs=2, units=3)
    with pytest.raises(ConfigError, match=f"declares tail_bits = {bits}: need 0 to 6"):
        run_inference(network, make_trace(network, [3]), policy, 0.1)


@pytest.mark.parametrize(
    "name, message",
    [
        ("delta:tail=2", r"policy 'delta:tail=2': tail = 2: need weighted=on"),
        ("delta:weighted=on,tail=7", r"tail = 7: need 1 to 6 bits, or 0 for none"),
        ("delta:weighted=on,tail=-1", r"tail = -1: need 1 to 6 bits"),
        ("delta:weighted=on,tail=on", r"tail = 'on': need a whole number"),
        ("input-similarity:weighted=on,tail=2", r"unknown option 'tail'"),
    ],
)
def test_tail_that_no_policy_has_is_refused(name, message):
    with pytest.raises(ConfigError, match=message):
        policy_from(name)
