"""Initial states of a trace: in files, in digests, and in simulations; outputs of every layer on request."""

import numpy as np
import pytest
from harness import make_network, make_tokens, make_trace, make_translator

import archsim
from archsim.inference.run import run_inference
from archsim.policies import policy_from
from archsim.traceio.files import _pack, _write_npz, read_trace


@pytest.fixture
def states(rng):
    """Return initial states of some passes of `tiny_lstm` for three sequences, one of them without c."""
    return {(0, 0): (rng.random((3, 4)) - 0.5, rng.random((3, 4)) - 0.5), (1, 1): rng.random((3, 4)) - 0.5}


@pytest.fixture
def started(tiny_trace, states):
    return tiny_trace.starting_in(states)


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_initial_states_are_read_as_they_were_written(started, tmp_path, suffix):
    path = tmp_path / f"t{suffix}"
    archsim.write_trace(started, path)
    read = archsim.load_trace(str(path))
    assert read.digest == started.digest
    for before, after in zip(started.starts, read.starts, strict=True):
        assert (before.layer, before.direction) == (after.layer, after.direction)
        np.testing.assert_array_equal(before.h, after.h)
        np.testing.assert_array_equal(before.c, after.c)


def test_files_and_digests_of_traces_without_states_are_as_before(tiny_trace, started):
    assert tiny_trace.digest == "09929d6e7fb44cb03970bad223a383c3bc53b9781a6614eb6de628cbfc3e1bcd"
    assert tiny_trace.starting_in({}).digest == tiny_trace.digest != started.digest
    assert not [name for name in _pack(tiny_trace) if name.startswith("start")]


def test_h_and_c_exchanged_give_another_digest(tiny_trace, states):
    h, c = states[0, 0]
    digests = {tiny_trace.starting_in({(0, 0): pair}).digest for pair in ((h, c), (c, h), (h, h))}
    assert len(digests) == 3


@pytest.mark.parametrize("change, message", [
    ({"start_c": None}, "array 'start_c' is missing"),
    ({"start_passes": np.zeros((2, 2), np.int64)}, "need whole numbers \\(P, 3\\)"),
    ({"start_passes": np.array([[0, 0, 4], [0, 0, 4]])}, "each \\(layer, direction\\) once"),
    ({"start_passes": np.array([[0, 0, -4], [1, 1, 12]])}, "at least one unit"),
    ({"start_passes": np.array([[0, 0, 2**62], [1, 1, 2**62]])}, "start_h has shape \\(3, 8\\)"),
    ({"start_passes": np.array([[0, 2, 4], [1, 1, 4]])}, "direction 0 or 1"),
    ({"start_h": np.zeros((2, 8), np.float32)}, "need numbers \\(3, H\\), one row per sequence"),
    ({"start_h": np.full((3, 8), np.nan, np.float32)}, "NaN or infinite"),
])  # fmt: skip
def test_damaged_states_are_refused(started, tmp_path, change, message):
    arrays = {name: array for name, array in (_pack(started) | change).items() if array is not None}
    _write_npz(tmp_path / "t.npz", arrays)
    with pytest.raises(archsim.ArchsimError, match=message):
        read_trace(tmp_path / "t.npz")


def test_a_part_of_a_trace_keeps_its_states(started):
    for part, rows in ((started.limit(2), [0, 1]), (started.only([2, 0]), [2, 0])):
        for before, after in zip(started.starts, part.starts, strict=True):
            np.testing.assert_array_equal(before.h[rows], after.h)
    with pytest.raises(archsim.ArchsimError, match="no sequence 3, need numbers from 0 to 2"):
        started.only([3])


def test_states_change_outputs_and_decisions_but_not_the_time_without_reuse(tiny_lstm, tiny_trace, started):
    zeros, states = (archsim.simulate(tiny_lstm, t, policy="none") for t in (tiny_trace, started))
    assert (zeros.outputs[0] != states.outputs[0]).any()
    for key in ("cycles", "energy_j", "dram_bytes", "events"):
        assert zeros.record[key] == states.record[key]
    reuse, baseline = archsim.simulate(tiny_lstm, started, policy="bnn", threshold=0.5), zeros.record["cycles"]
    assert reuse.record["baseline_cycles"] == baseline
    np.testing.assert_array_equal(
        reuse.outputs[1], run_inference(tiny_lstm, started.only([1]), policy_from("bnn"), 0.5).outputs[0]
    )


def test_states_in_fp16_are_rounded(tiny_lstm, tiny_trace, states):
    rounded = {(1, 1): np.float16(states[1, 1])}
    exact = {(1, 1): states[1, 1]}
    one, two = (archsim.simulate(tiny_lstm, tiny_trace.starting_in(s), policy="none") for s in (exact, rounded))
    np.testing.assert_array_equal(one.outputs[0], two.outputs[0])


def test_scales_of_a_trace_with_states_are_measured(tiny_lstm, started):
    assert archsim.measure_scales(tiny_lstm, started) != archsim.measure_scales(tiny_lstm, started.starting_in({}))


def test_a_translator_starts_its_encoder_in_states():
    network = make_translator(width=4, units=4)
    trace = make_tokens(network, [3, 5])
    state = np.full((2, 4), 0.5)
    zeros, states = (archsim.simulate(network, t, policy="none") for t in (trace, trace.starting_in({(0, 0): state})))
    assert (zeros.outputs[0][0] != states.outputs[0][0]).any()
    with pytest.raises(archsim.ArchsimError, match="layer 1, direction 0\\): tiny-translator has no such pass"):
        archsim.simulate(network, trace.starting_in({(1, 0): state}), policy="none")


def test_outputs_of_every_layer_are_there_on_request(tiny_lstm, tiny_trace):
    result = archsim.simulate(tiny_lstm, tiny_trace, threshold=0.5, keep_layers=True)
    assert [[y.shape for y in layer] for layer in result.layer_outputs] == [[(6, 8), (1, 8), (9, 8)]] * 2
    np.testing.assert_array_equal(result.layer_outputs[1][2], result.outputs[2])
    assert archsim.simulate(tiny_lstm, tiny_trace, threshold=0.5).layer_outputs is None


def test_the_lower_layer_alone_gives_the_outputs_of_the_lower_layer():
    whole = make_network("gru", inputs=5, units=4, layers=2)
    lower = archsim.Network("lower", whole.layers[:1])
    trace = make_trace(whole, (6, 3))
    both = archsim.simulate(whole, trace, threshold=0.5, keep_layers=True)
    alone = archsim.simulate(lower, trace, threshold=0.5)
    np.testing.assert_array_equal(both.layer_outputs[0][0], alone.outputs[0])


def test_outputs_of_a_translator_are_those_of_encoder_and_decoder():
    network = make_translator(width=4, units=4, depth=2)
    result = archsim.simulate(network, make_tokens(network, [3, 5]), policy="none", keep_layers=True)
    assert len(result.layer_outputs) == 4
    assert [y.shape[0] for y in result.layer_outputs[1]] == [3, 5]
    np.testing.assert_array_equal(result.layer_outputs[3][1], result.outputs[1])
