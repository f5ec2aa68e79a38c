"""The recurrent layers alone: initial states, end states, outputs of every layer, and steps that come call by call."""

from unittest.mock import patch

import numpy as np
import pytest
from harness import make_network, make_trace, make_translator
from hypothesis import given
from hypothesis import strategies as st

import archsim
from archsim.inference import stack
from archsim.inference.run import run_inference
from archsim.inference.stack import StackRunner
from archsim.ir.layers import State
from archsim.policies import policy_from

POLICIES = [
    "none",
    "bnn",
    "oracle",
    "lowbit:bits=4,correct=on",
    "delta",
    "input-similarity",
    "delta:weighted=on,tail=2",
]


def draw_states(network, n_sequences, seed=3):
    """Return random states of every layer and direction."""
    rng = np.random.default_rng(seed)
    keys = [(i, d, layer.hidden_size) for i, layer in enumerate(network.layers) for d in range(len(layer.directions))]
    return {(i, d): State(*rng.uniform(-1, 1, (2, n_sequences, H)).astype(np.float32)) for i, d, H in keys}


def rows_of(states, rows):
    return {key: State(state.h[rows], state.c[rows]) for key, state in states.items()}


def runner(network, policy="bnn", threshold=0.3, **options):
    return StackRunner(network, policy_from(policy), threshold, **options)


@st.composite
def networks(draw, *, bidirectional=None):
    both = draw(st.booleans()) if bidirectional is None else bidirectional
    sizes = {name: draw(st.integers(1, high)) for name, high in (("inputs", 5), ("units", 6), ("layers", 3))}
    return make_network(
        draw(st.sampled_from(["lstm", "gru"])), **sizes, bidirectional=both, seed=draw(st.integers(0, 99))
    )


lengths = st.lists(st.integers(1, 9), min_size=1, max_size=6)


@given(
    network=networks(), lengths=lengths, policy=st.sampled_from(POLICIES), precision=st.sampled_from(["fp16", "fp32"])
)
def test_sequences_that_start_in_zeros_equal_an_inference_run(network, lengths, policy, precision):
    trace = make_trace(network, lengths)
    expected = run_inference(network, trace, policy_from(policy), 0.3, precision=precision)
    result = runner(network, policy, precision=precision).run(trace.sequences)
    for before, after in zip(expected.outputs, result.outputs, strict=True):
        np.testing.assert_array_equal(before, after)
    for key, bits in expected.activity.bits.items():
        np.testing.assert_array_equal(np.concatenate(bits), np.concatenate(result.activity.bits[key]))


@given(
    network=networks(), lengths=lengths, policy=st.sampled_from(POLICIES), precision=st.sampled_from(["fp16", "fp32"])
)
def test_results_depend_neither_on_company_nor_on_threads(network, lengths, policy, precision):
    trace, states = make_trace(network, lengths), draw_states(network, len(lengths))
    together = runner(network, policy, precision=precision, threads=3).run(trace.sequences, states, every_layer=True)
    for i, sequence in enumerate(trace.sequences):
        one = runner(network, policy, precision=precision, threads=1)
        alone = one.run([sequence], rows_of(states, [i]), every_layer=True)
        np.testing.assert_array_equal(together.outputs[i], alone.outputs[0])
        for both, single in zip(together.layer_outputs, alone.layer_outputs, strict=True):
            np.testing.assert_array_equal(both[i], single[0])
        for key, end in alone.ends.items():
            np.testing.assert_array_equal(together.ends[key].h[i], end.h[0])
            np.testing.assert_array_equal(together.ends[key].c[i], end.c[0])
            np.testing.assert_array_equal(together.activity.bits[key][i], alone.activity.bits[key][0])
        if policy != "none":
            np.testing.assert_array_equal(together.squares[i], alone.squares[0])


@pytest.mark.parametrize("few_rows", [0, 256])
@given(network=networks(bidirectional=False), n=st.integers(1, 9), cuts=st.lists(st.integers(1, 4), min_size=1, max_size=5),
       policy=st.sampled_from(POLICIES), precision=st.sampled_from(["fp16", "fp32"]))  # fmt: skip
def test_steps_that_come_call_by_call_equal_one_call(few_rows, network, n, cuts, policy, precision):
    with patch.object(stack, "FEW_ROWS", few_rows):
        check_calls_against_one(network, n, cuts, policy, precision)


def check_calls_against_one(network, n, cuts, policy, precision):
    trace, states = make_trace(network, [sum(cuts)] * n), draw_states(network, n)
    whole = runner(network, policy, precision=precision).run(trace.sequences, states)
    running, start, outputs = runner(network, policy, precision=precision, threads=3).begin(n, states), 0, []
    steps = np.stack(trace.sequences, axis=1)
    for cut in cuts:
        chunk = steps[start] if cut == 1 else steps[start : start + cut]
        outputs.append(running.advance(chunk).reshape(cut, n, -1))
        start += cut
    np.testing.assert_array_equal(np.concatenate(outputs), np.stack(whole.outputs, axis=1))
    parts = running.finish()
    assert parts.output_change == whole.output_change
    for key, bits in whole.activity.bits.items():
        np.testing.assert_array_equal(parts.activity.bits[key], bits)
        np.testing.assert_array_equal(parts.ends[key].h, whole.ends[key].h)
        np.testing.assert_array_equal(parts.ends[key].c, whole.ends[key].c)
    assert parts.activity.neurons_reused() == whole.activity.neurons_reused()


@given(network=networks(bidirectional=False), n=st.integers(1, 4), first=st.integers(1, 5), second=st.integers(1, 5))
def test_without_reuse_a_sequence_that_starts_where_another_ended_continues_it(network, n, first, second):
    trace, states = make_trace(network, [first + second] * n), draw_states(network, n)
    whole = runner(network, "none").run(trace.sequences, states)
    before = runner(network, "none").run([x[:first] for x in trace.sequences], states)
    after = runner(network, "none").run([x[first:] for x in trace.sequences], before.ends)
    for expected, parts in zip(whole.outputs, zip(before.outputs, after.outputs, strict=True), strict=True):
        np.testing.assert_array_equal(expected, np.concatenate(parts))


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
@pytest.mark.parametrize("layers, bidirectional", [(1, False), (2, False), (2, True)])
def test_outputs_and_end_states_equal_torch_from_initial_states(kind, layers, bidirectional, rng):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    module = getattr(torch.nn, kind)(7, 5, layers, bidirectional=bidirectional)
    network = archsim.from_torch(module)
    D, n = 1 + bidirectional, 4
    h, c = torch.rand(2, layers * D, n, 5) - 0.5
    states = {(k // D, k % D): State(h[k].numpy(), c[k].numpy()) for k in range(layers * D)}
    x = torch.rand(6, n, 7) - 0.5
    with torch.no_grad():
        expected, ends = module(x, (h, c) if kind == "LSTM" else h)
    result = runner(network, "none", precision="fp32").run(list(x.transpose(0, 1).numpy()), states)
    np.testing.assert_allclose(np.stack(result.outputs, axis=1), expected.numpy(), atol=1e-5)
    h_n, c_n = ends if kind == "LSTM" else (ends, None)
    for k in range(layers * D):
        np.testing.assert_allclose(result.ends[k // D, k % D].h, h_n[k], atol=1e-5)
        if c_n is not None:
            np.testing.assert_allclose(result.ends[k // D, k % D].c, c_n[k], atol=1e-5)


def test_outputs_of_every_layer_are_the_inputs_of_the_next(tiny_lstm, tiny_trace):
    result = runner(tiny_lstm).run(tiny_trace.sequences, every_layer=True)
    lower, top = result.layer_outputs
    for i, (below, above) in enumerate(zip(lower, top, strict=True)):
        assert below.shape == (len(tiny_trace.sequences[i]), 8)
        np.testing.assert_array_equal(above, result.outputs[i])


def test_squares_are_sums_against_the_run_without_reuse(tiny_lstm, tiny_trace):
    reusing = runner(tiny_lstm, "bnn", 0.5).run(tiny_trace.sequences)
    plain = runner(tiny_lstm, "none").run(tiny_trace.sequences)
    for sums, before, after in zip(reusing.squares, plain.outputs, reusing.outputs, strict=True):
        old = before.astype(np.float64)
        np.testing.assert_allclose(sums, [((after - old) ** 2).sum(), (old**2).sum()])
    assert runner(tiny_lstm, "bnn", 0.5, compare=False).run(tiny_trace.sequences).squares is None


def test_a_network_with_a_decoder_is_refused():
    with pytest.raises(archsim.ArchsimError, match="tiny-translator has a decoder"):
        runner(make_translator(width=4, units=4))


def test_steps_of_a_bidirectional_network_are_refused(tiny_lstm):
    with pytest.raises(archsim.ArchsimError, match="reverse direction, which needs whole sequences"):
        runner(tiny_lstm).begin(2)


@pytest.mark.parametrize("x, message", [
    (np.zeros((3, 5), np.float32), "shape \\(3, 5\\), need float32 of \\(2, 5\\) per step"),
    (np.zeros((2, 5)), "float64"),
    (np.zeros((0, 2, 5), np.float32), "shape \\(0, 2, 5\\)"),
    (np.full((2, 5), np.nan, np.float32), "NaN"),
    (np.full((2, 5), 1e6, np.float32), "binary16 ends at"),
])  # fmt: skip
def test_steps_that_do_not_fit_are_refused(x, message):
    running = runner(make_network("gru", inputs=5, units=3)).begin(2)
    with pytest.raises(archsim.ArchsimError, match=message):
        running.advance(x)


@pytest.mark.parametrize("states, message", [
    ({(0, 0): np.zeros((2, 4))}, "need numbers \\(3, H\\)"),
    ({(0, 0): np.zeros((3, 5))}, "has 5 units, tiny-lstm has 4 there"),
    ({(2, 0): np.zeros((3, 4))}, "no such pass, accepted: \\(0, 0\\), \\(0, 1\\), \\(1, 0\\), \\(1, 1\\)"),
    ({(0, 0): (np.zeros((3, 4)), np.zeros((3, 5)))}, "c has shape \\(3, 5\\), tiny-lstm has 4 units there"),
    ({(0, 0): np.full((3, 4), np.inf)}, "NaN or infinite"),
    ({(0, 0): np.full((3, 4), 1e5)}, "binary16 ends at"),
    ({"h": np.zeros((3, 4))}, "need a pair \\(layer, direction\\)"),
])  # fmt: skip
def test_states_that_do_not_fit_are_refused(tiny_lstm, tiny_trace, states, message):
    with pytest.raises(archsim.ArchsimError, match=message):
        runner(tiny_lstm).run(tiny_trace.sequences, states)
