"""LSTM with projection: function against torch, files, times to the cycle, energy, and what refuses it."""

import numpy as np
import pytest
from harness import arch_with, called_in_python, machines, make_network, make_trace
from hypothesis import given, settings
from hypothesis import strategies as st

import archsim
from archsim.activity import PassShape, pass_shapes
from archsim.config.arch import ArchSpec
from archsim.importers.weight_files import import_weights
from archsim.inference.run import run_inference
from archsim.ir.saving import save_network
from archsim.kernels.pipeline.resident import time_pass
from archsim.policies import policy_from
from archsim.sim.items import PassSegment, Products
from archsim.sim.machines.epur.costs import step_times
from archsim.traceio.files import write_trace


def projected(units=7, projection=3, inputs=5, **sizes):
    return make_network("lstm", inputs=inputs, units=units, projection=projection, **sizes)


# Function


def test_one_step_by_hand():
    """All gates 1/2 or tanh 0 of zero weights: c halves, and h is the projection of tanh(c)/2."""
    arrays = {"weight_ih": [np.zeros((8, 1), np.float32)], "weight_hh": [np.zeros((8, 1), np.float32)]}
    network = archsim.Network.from_weights("lstm", **arrays, proj=[np.array([[2.0, -1.0]], np.float32)])
    trace = archsim.Trace.from_arrays([np.zeros((1, 1))]).starting_in({(0, 0): ([[0.0]], [[0.8, 0.4]])})
    output = archsim.simulate(network, trace, policy="none", precision="fp32").outputs[0]
    assert output == pytest.approx(np.array([[2 * np.tanh(0.4) / 2 - np.tanh(0.2) / 2]]), abs=1e-6)


@settings(max_examples=60)
@given(
    st.integers(1, 5), st.integers(2, 9), st.integers(1, 3), st.booleans(), st.booleans(),
    st.lists(st.integers(1, 9), min_size=1, max_size=5), st.booleans(), st.data(),
)  # fmt: skip
def test_outputs_equal_torch(inputs, units, layers, bidirectional, bias, lengths, starts, data):
    """Layers, directions, biases, lengths, projected sizes and initial states crossed."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(data.draw(st.integers(0, 2**31)))
    R = data.draw(st.integers(1, units - 1))
    module = torch.nn.LSTM(inputs, units, layers, bidirectional=bidirectional, bias=bias, proj_size=R)
    network = archsim.from_torch(module)
    sequences = [torch.randn(t, inputs) for t in lengths]
    rows, D = layers * (1 + bidirectional), 1 + bidirectional
    given_h, given_c = (torch.rand(rows, len(lengths), n) * 2 - 1 for n in (R, units))
    trace = archsim.Trace.from_arrays([x.numpy() for x in sequences])
    if starts:
        trace = trace.starting_in({(k // D, k % D): (given_h[k], given_c[k]) for k in range(rows)})
    outputs = archsim.simulate(network, trace, policy="none", precision="fp32").outputs
    for s, x in enumerate(sequences):
        state = (given_h[:, s], given_c[:, s]) if starts else None
        with torch.no_grad():
            np.testing.assert_allclose(outputs[s], module(x, state)[0].numpy(), atol=1e-5)


def test_projection_and_what_it_reads_are_rounded_to_binary16():
    """W_hr = 1 + 2^-12 rounds to 1; without rounding h would be above tanh(c)/2 after it was rounded itself."""
    arrays = {"weight_ih": [np.zeros((8, 1), np.float32)], "weight_hh": [np.zeros((8, 1), np.float32)]}
    c = np.array([[1.0, 0.0]], np.float32)
    outputs = []
    for weight in (1.0, 1 + 2**-12, 4000.0):
        network = archsim.Network.from_weights("lstm", **arrays, proj=[np.array([[weight, 0]], np.float32)])
        trace = archsim.Trace.from_arrays([np.zeros((1, 1))]).starting_in({(0, 0): ([[0.0]], c)})
        outputs.append(archsim.simulate(network, trace, policy="none").outputs[0][0, 0])
    unit = np.float32(np.float16(np.tanh(0.5) / 2))
    assert outputs[0] == outputs[1] == unit
    assert outputs[2] == np.float16(4000 * unit) != np.float16(4000 * np.tanh(0.5) / 2)


@pytest.mark.parametrize("name", ["bnn", "oracle", "ternary", "lowbit:correct=on"])
def test_policy_called_in_python_equals_the_kernel(name):
    network, policy = projected(layers=2, bidirectional=True), policy_from(name)
    trace = make_trace(network, [6, 9, 3])

    ours, theirs = (run_inference(network, trace, p, 0.3) for p in (policy, called_in_python(policy)))
    assert 0 < ours.activity.avoided_fraction == theirs.activity.avoided_fraction < 1
    for a, b in zip(ours.outputs, theirs.outputs, strict=True):
        np.testing.assert_array_equal(a, b)


def test_column_skipping_without_a_threshold_equals_no_reuse():
    """The function of delta policies needs no machine."""
    network = projected(layers=2)
    runs = [run_inference(network, make_trace(network, [9]), policy_from(p), 0.0, precision="fp32").outputs[0]
            for p in ("none", "delta")]  # fmt: skip
    np.testing.assert_allclose(*runs, atol=1e-5)


# Files


def test_network_folder_and_trace_file_keep_projection_and_states(tmp_path):
    network = projected(layers=2, bidirectional=True)
    saved = archsim.load_network(save_network(network, tmp_path / "net"))
    assert saved.digest == network.digest
    assert [(y.hidden_size, y.recurrent_size, y.output_size) for y in saved.layers] == [(7, 3, 6)] * 2
    states = {(1, 0): (np.full((2, 3), 0.5), np.full((2, 7), -0.5))}
    trace = make_trace(network, [4, 2]).starting_in(states)
    write_trace(trace, tmp_path / "trace.npz")
    read = archsim.load_trace(tmp_path / "trace.npz")
    ours, theirs = (archsim.simulate(n, t, policy="none").outputs for n, t in ((network, trace), (saved, read)))
    np.testing.assert_array_equal(ours[0], theirs[0])
    assert not np.array_equal(ours[0], archsim.simulate(network, make_trace(network, [4, 2]), policy="none").outputs[0])


def test_state_dict_of_a_file_is_imported(tmp_path):
    torch = pytest.importorskip("torch")
    module = torch.nn.LSTM(4, 6, 2, bidirectional=True, proj_size=2)
    torch.save({f"rnn.{k}": v for k, v in module.state_dict().items()}, tmp_path / "model.pt")
    imported = import_weights(tmp_path / "model.pt")
    assert "6 units projected to 2" in str([row.note for row in imported.table.rows])
    x = torch.randn(5, 4)
    outputs = run_inference(
        imported.network, archsim.Trace.from_arrays([x.numpy()]), policy_from("none"), precision="fp32"
    )
    with torch.no_grad():
        np.testing.assert_allclose(outputs.outputs[0], module(x)[0].numpy(), atol=1e-5)


@pytest.mark.parametrize("cell, hh, proj, message", [
    ("gru", (12, 2), (2, 4), "a gru has no projection"),
    ("lstm", (16, 2), (3, 4), r"weight_hr has shape \(3, 4\), need \(R, H\) with 0 < R < H; weight_hh says R = 2"),
    ("lstm", (16, 4), (4, 4), r"need \(R, H\) with 0 < R < H"),
    ("lstm", (16, 2), (4,), r"proj\[0\] \(layer 0, forward\) has shape \(4,\), need \(R, H\)"),
    ("lstm", (15, 2), (2, 4), r"weight_hh\[0\].* has shape \(15, 2\).*needs \(4·H, R\) with H = 4"),
])  # fmt: skip
def test_projections_that_do_not_fit_are_refused(cell, hh, proj, message):
    arrays = {"weight_ih": [np.ones((hh[0], 3), np.float32)], "weight_hh": [np.ones(hh, np.float32)]}
    with pytest.raises(archsim.ArchsimError, match=message):
        archsim.Network.from_weights(cell, **arrays, proj=[np.ones(proj, np.float32)])


def test_initial_cell_state_of_the_projected_size_is_refused():
    network = projected()
    trace = make_trace(network, [3]).starting_in({(0, 0): (np.ones((1, 3)), np.ones((1, 3)))})
    with pytest.raises(archsim.ArchsimError, match=r"c has shape \(1, 3\), tiny-lstm has 7 units there"):
        archsim.simulate(network, trace, policy="none")


# Time


@pytest.mark.parametrize("units, projection, lanes, extra", [
    (7, 3, 16, 1 * 1 + 8 + 1),  # one row in each of three units
    (7, 4, 16, 1 * 1 + 8 + 1),
    (7, 5, 16, 2 * 1 + 8 + 1),  # the first unit has a second row
    (33, 9, 16, 3 * 3 + 8 + 1),
    (33, 9, 1, 3 * 33 + 8 + 1),
])  # fmt: skip
def test_step_takes_its_rows_after_the_updates(units, projection, lanes, extra):
    """SEMANTICS 2.2: H·c_d + L_d + L_m + L_w, then ceil(R/G)·c_p + L_d + L_w."""
    network = projected(units, projection, inputs=20 - projection)
    result = archsim.simulate(network, make_trace(network, [3]), arch_with(dpu__lanes=lanes), policy="none")
    step = units * -(-20 // lanes) + 8 + 20 + 1 + extra
    assert result.timing.step_end_cycles(0, 0, 0).tolist() == [step, 2 * step, 3 * step]


@given(machines(), st.integers(1, 9), st.integers(0, 40))
def test_projection_delays_every_step_by_the_same(times, units, cycles):
    bits = np.packbits(np.random.default_rng(units).random((5, 4 * units)) < (0.5 if times.has_memo else 0), axis=1)
    ends = [time_pass(bits, 4, units, times._replace(projection_cycles=n)).step_ends for n in (0, cycles)]
    assert np.array_equal(ends[1] - ends[0], cycles * np.arange(1, 6))


def test_only_the_half_with_h_projects():
    shape = PassShape(0, 0, n_gates=4, n_units=7, n_inputs=8, n_projected=3)
    cycles = {half: step_times(ArchSpec(), PassSegment(shape, half)).projection_cycles for half in Products}
    assert cycles == {Products.ALL: 10, Products.INPUTS: 0, Products.RECURRENT: 10}


# Energy and capacity


@pytest.mark.parametrize("policy", ["none", "bnn"])
def test_macs_and_energy_count_the_projection_in_full(policy):
    network = projected(units=20, projection=6)
    record = (result := archsim.simulate(network, make_trace(network, [8]), policy=policy, threshold=0.4)).record
    gates = 4 * 20 * (5 + 6)
    assert record["macs_total"] == 8 * (gates + 6 * 20)
    evaluated = record["neurons_total"] - (record["neurons_reused"] or 0)
    assert result.simulated.count("dpu", "mac") == evaluated * 11 + 8 * 6 * 20
    assert record["macs_avoided_fraction"] == pytest.approx((record["neurons_reused"] or 0) * 11 / record["macs_total"])
    parts = ("scratchpad", "operations", "dram", "memo", "static")
    assert sum(record[f"energy_{part}_j"] or 0 for part in parts) == pytest.approx(record["energy_j"])


def test_actions_of_a_step_by_hand():
    """H = 20, R = 6, I = 5: words of 16 numbers; each of four units takes the 20 values that it projects."""
    network = projected(units=20, projection=6)
    counts = archsim.simulate(network, make_trace(network, [1]), policy="none").simulated.counts
    assert counts["weight_buffer", "read"] == 4 * 20 * 1 + 6 * 2
    assert counts["input_buffer", "read"] == 4 * 20 * 1 + 6 * 2
    assert counts["input_buffer", "write"] == 4 * (1 + 1) + 4 * 2  # x, h; then the inputs of the projection
    assert counts["mu", "exponential"] == 5 * 20


def test_weight_buffer_holds_the_projection_even_where_rows_stream():
    """64 units of 8 inputs take 1 KiB per gate, and a share of the projection, 2 rows of 64, 256 bytes."""
    network = projected(units=64, projection=7, inputs=1)
    trace, whole = make_trace(network, [3]), 64 * 8 * 2 + 2 * 64 * 2
    streams = {}
    for capacity in (whole, whole - 1):
        arch = arch_with(weight_buffer__capacity_bytes=capacity)
        result = archsim.simulate(network, trace, arch, policy="none")
        streams[capacity] = any(
            reason == "weights" and unit != "machine" for unit, reason in result.simulated.unit_times.waited_ps
        )
    assert streams == {whole: False, whole - 1: True}
    with pytest.raises(archsim.ArchsimError, match=r"weight_buffer.capacity_bytes.*272") as caught:
        archsim.simulate(network, trace, arch_with(weight_buffer__capacity_bytes=256), policy="none")
    assert caught.value.need == 2 * 64 * 2 + 16


def test_input_buffer_holds_what_is_projected():
    network = projected(units=64, projection=7, inputs=1)
    with pytest.raises(archsim.ArchsimError, match="input_buffer.capacity_bytes") as caught:
        archsim.simulate(network, make_trace(network, [3]), arch_with(input_buffer__capacity_bytes=64), policy="none")
    assert caught.value.need == 2 * (1 + 7 + 64)


@pytest.mark.parametrize("fields, policy, message", [
    ({"weight_buffer__banks": 1}, "none", "l0: weight_buffer.banks = 1: a projection is computed with two banks or more"),
    ({"dispatch": "shared"}, "bnn", "l0: dispatch = 'shared': units do not share the work of a projection"),
    ({}, "delta", "l0: the machine that skips columns .* a projection is computed by rows"),
])  # fmt: skip
def test_machines_that_do_not_project_say_so(fields, policy, message):
    network = projected()
    with pytest.raises(archsim.ArchsimError, match=message):
        archsim.simulate(network, make_trace(network, [3]), arch_with(**fields), policy, 0.1)


def test_projections_are_not_trained():
    torch = pytest.importorskip("torch")
    finetune = pytest.importorskip("archsim.finetune")
    with pytest.raises(archsim.ArchsimError, match="no gradient for a projection"):
        finetune.ReuseRNN(torch.nn.LSTM(3, 4, proj_size=2))


def test_pass_shape_of_a_plain_layer_is_unchanged():
    (shape,) = pass_shapes(make_network("lstm", inputs=5, units=7))
    assert (shape.n_hidden, shape.n_projected, shape.macs_per_step) == (7, 0, 4 * 7 * 12)
