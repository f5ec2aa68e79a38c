"""Every cell beside its formula (SEMANTICS 1.1) in float64, with known answers, its work in the MU, and its files."""

from dataclasses import replace

import numpy as np
import pytest
from harness import COLUMN_POLICIES, arch_with, make_network, make_trace
from hypothesis import given, settings
from hypothesis import strategies as st

import archsim
from archsim.errors import NetworkError
from archsim.inference.run import run_inference
from archsim.ir.cells import CELLS, LSTM, RNN
from archsim.ir.folder import load_network
from archsim.ir.layers import State, make_direction
from archsim.ir.saving import save_network
from archsim.policies import NoReuse

POLICIES = ["bnn", "oracle", "ternary", "lowbit:correct=on", "delta", "input-similarity"]


def cells_with(policies):
    """Return each cell with each policy that takes it: columns are skipped of all gates or of none."""
    pairs = [(cell, policy) for cell in CELLS for policy in policies]
    return [pair for pair in pairs if not (CELLS[pair[0]].resets_before and pair[1] in COLUMN_POLICIES)]


def gate_of(cell):
    """Return the activation function of a cell's gates, by its name."""
    if cell.endswith("fifth"):
        return lambda v: np.clip(0.2 * v + 0.5, 0, 1)
    if cell.endswith("sixth"):
        return lambda v: np.clip(v / 6 + 0.5, 0, 1)
    return lambda v: 1 / (1 + np.exp(-v))


def naive_step(cell, d, x, h, c):
    """Return h and c after one step of a direction in float64, as SEMANTICS 1.1 has it."""
    gate, H = gate_of(cell), len(c)
    w_ih, w_hh, b_ih, b_hh = (getattr(d, n).astype(float) for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    if cell.startswith("gru-reset-before"):
        (x_r, x_z, x_n), (w_r, w_z, w_n) = np.split(w_ih @ x + b_ih + b_hh, 3), np.split(w_hh, 3)
        r, z = gate(x_r + w_r @ h), gate(x_z + w_z @ h)
        return (1 - z) * np.tanh(x_n + w_n @ (r * h)) + z * h, c
    of_x, of_h = w_ih @ x + b_ih, w_hh @ h + b_hh
    if cell.startswith("rnn"):
        return (np.maximum(of_x + of_h, 0) if cell == "rnn-relu" else np.tanh(of_x + of_h)), c
    if cell.startswith("gru"):
        r, z = (gate(v) for v in np.split((of_x + of_h)[: 2 * H], 2))
        return (1 - z) * np.tanh(of_x[2 * H :] + r * of_h[2 * H :]) + z * h, c
    i, f, g, o = np.split(of_x + of_h, 4)
    p_i, p_f, p_o = np.zeros((3, H)) if d.peepholes is None else np.split(d.peepholes.astype(float), 3)
    after = gate(f + p_f * c) * c + gate(i + p_i * c) * np.tanh(g)
    units = gate(o + p_o * after) * np.tanh(after)
    return (units if d.weight_hr is None else d.weight_hr.astype(float) @ units), after


def naive_outputs(network, x, starts):
    """Return the outputs of one sequence; `starts` are (h, c) by layer and direction."""
    for index, layer in enumerate(network.layers):
        sides = []
        for side, d in enumerate(layer.directions):
            h, c = starts[index, side]
            rows = []
            for row in x[::-1] if d.reverse else x:
                h, c = naive_step(layer.cell.name, d, row, h, c)
                rows.append(h)
            sides.append(np.array(rows)[:: -1 if d.reverse else 1])
        x = np.concatenate(sides, axis=1)
    return x


@settings(max_examples=200)
@given(
    cell=st.sampled_from(list(CELLS)),
    sizes=st.tuples(st.integers(1, 9), st.integers(1, 7), st.integers(1, 3)),
    bidirectional=st.booleans(),
    lengths=st.lists(st.integers(1, 7), min_size=1, max_size=4),
    with_starts=st.booleans(),
    projection=st.integers(0, 6),
    seed=st.integers(0, 99),
)
def test_outputs_of_every_cell_equal_its_formula(cell, sizes, bidirectional, lengths, with_starts, projection, seed):
    """Stacks, directions, lengths, projections and initial states crossed; biases are not zero."""
    inputs, units, layers = sizes
    projection = projection if CELLS[cell].may_project and projection < units else 0
    shape = {"layers": layers, "bidirectional": bidirectional, "projection": projection}
    network = make_network(cell, inputs=inputs, units=units, **shape, seed=seed)
    trace, rng = make_trace(network, lengths, seed), np.random.default_rng(seed)
    keys, scale = [(i, d) for i in range(layers) for d in range(1 + bidirectional)], 0.9 * with_starts
    starts = {
        key: State(*(rng.uniform(-scale, scale, (len(lengths), n)).astype(np.float32) for n in (projection or units, units)))
        for key in keys
    }  # fmt: skip
    given_trace = trace.starting_in(starts) if with_starts else trace
    result = archsim.simulate(network, given_trace, policy="none", precision="fp32")
    for b, (x, outputs) in enumerate(zip(trace.sequences, result.outputs, strict=True)):
        own = {key: (state.h[b].astype(float), state.c[b].astype(float)) for key, state in starts.items()}
        np.testing.assert_allclose(outputs, naive_outputs(network, x.astype(float), own), atol=1e-5, rtol=1e-5)


def outputs_of(network, x):
    trace = archsim.Trace.from_arrays([np.asarray(x, np.float32)])
    return run_inference(network, trace, NoReuse(), precision="fp32").outputs[0]


def one_unit(cell, w, u, b, **options):
    """Return a network of one unit and one input: weights of x, of h and biases by gate, in torch's order."""
    column = [np.array(values, np.float32)[:, None] for values in (w, u)]
    bias = [np.array(b, np.float32)]
    return archsim.Network.from_weights(cell, weight_ih=[column[0]], weight_hh=[column[1]], bias=bias, **options)


# Known answers


def test_relu_rnn_of_one_unit():
    """h = max(0, x/2 + 2·h + 1/4): 3/4, then 2.25, then 4.75, then max(0, -10 + 9.5 + 1/4) = 0."""
    outputs = outputs_of(one_unit("rnn-relu", [0.5], [2.0], [0.25]), [[1.0], [1.0], [0.0], [-20.0]])
    assert outputs[:, 0].tolist() == [0.75, 2.25, 4.75, 0.0]


def test_tanh_rnn_of_one_unit():
    outputs = outputs_of(one_unit("rnn", [1.0], [-1.0], [0.5]), [[0.5], [0.0]])
    np.testing.assert_allclose(outputs[:, 0], [np.tanh(1.0), np.tanh(0.5 - np.tanh(1.0))], atol=1e-7)


def test_peepholes_look_at_the_c_before_in_gates_i_and_f_and_at_the_new_c_in_gate_o():
    """Only peepholes and the bias of g are not zero, so that each gate is σ of its peephole times a known c."""
    network = one_unit("lstm-peepholes", [0] * 4, [0] * 4, [0, 0, 9, 0], peepholes=[np.array([1.0, -2.0, 3.0])])
    g, sigma = np.tanh(9.0), lambda v: 1 / (1 + np.exp(-v))
    first = 0.5 * g
    second = sigma(-2.0 * first) * first + sigma(first) * g
    expected = [sigma(3.0 * c) * np.tanh(c) for c in (first, second)]
    np.testing.assert_allclose(outputs_of(network, [[0.0], [0.0]])[:, 0], expected, atol=1e-6)


def test_peepholes_of_zeros_change_no_bit():
    plain = make_network("lstm", inputs=5, units=4, layers=2, bidirectional=True)
    cell, zeros = CELLS["lstm-peepholes"], np.zeros(12, np.float32)
    layers = [
        replace(y, cell=cell, directions=tuple(make_direction("t", cell, d.arrays | {"peepholes": zeros}, reverse=d.reverse) for d in y.directions))
        for y in plain.layers
    ]  # fmt: skip
    x = make_trace(plain, [9]).sequences[0]
    assert outputs_of(replace(plain, layers=tuple(layers)), x).tobytes() == outputs_of(plain, x).tobytes()


@pytest.mark.parametrize("name, ends", [("fifth", 2.5), ("sixth", 3.0)])
def test_hard_sigmoid_is_0_and_1_at_its_ends_and_a_half_between(name, ends):
    """A GRU's z, whose candidate is tanh(0) = 0, is how much of h stays: h = z·h."""
    for x, kept in ((-ends, 0.0), (-9.0, 0.0), (0.0, 0.5), (ends / 2, 0.75), (ends, 1.0), (9.0, 1.0)):
        network = one_unit(f"gru-hard-sigmoid-{name}", [0, 1, 0], [0, 0, 0], [0, 0, 0])
        trace = archsim.Trace.from_arrays([np.array([[x]], np.float32)])
        trace = trace.starting_in({(0, 0): State(np.array([[0.5]], np.float32), np.zeros((1, 1), np.float32))})
        outputs = run_inference(network, trace, NoReuse(), precision="fp32").outputs[0]
        assert outputs[0, 0] == pytest.approx(kept * 0.5, abs=1e-7)


# Time, energy, capacity

WORK = {  # multiplications, additions, exponentials per unit and step
    "lstm": (3, 5, 5),
    "lstm-peepholes": (6, 8, 5),
    "lstm-hard-sigmoid-fifth": (6, 14, 2),
    "lstm-hard-sigmoid-sixth": (6, 14, 2),
    "lstm-peepholes-hard-sigmoid-fifth": (9, 17, 2),
    "lstm-peepholes-hard-sigmoid-sixth": (9, 17, 2),
    "gru": (3, 7, 3),
    "gru-hard-sigmoid-fifth": (5, 13, 1),
    "gru-hard-sigmoid-sixth": (5, 13, 1),
    "gru-reset-before": (3, 5, 3),
    "gru-reset-before-hard-sigmoid-fifth": (5, 11, 1),
    "gru-reset-before-hard-sigmoid-sixth": (5, 11, 1),
    "rnn": (0, 1, 1),
    "rnn-relu": (0, 2, 0),
}


@pytest.mark.parametrize("cell, policy", cells_with(["none", "bnn", "delta"]))
def test_multifunctional_unit_is_charged_for_the_work_of_each_cell(cell, policy):
    """Whatever is reused, every unit is updated at every step: 5 units, 2 directions, 7 + 3 steps."""
    network = make_network(cell, inputs=6, units=5, bidirectional=True)
    threshold = None if policy == "none" else 0.3
    result = archsim.simulate(network, make_trace(network, [7, 3]), policy=policy, threshold=threshold)
    counts = [result.simulated.count("mu", action) for action in ("multiply", "add", "exponential")]
    assert counts == [n * 5 * 2 * 10 for n in WORK[cell]]


@pytest.mark.parametrize("cell", CELLS)
def test_step_without_memoization_takes_the_cycles_of_the_closed_form(cell):
    """H·c_d + L_d + L_m + L_w with c_d = ceil(N / 16): 20·3 + 8 + 20 + 1 for 25 inputs and 20 units (SEMANTICS 2.2).

    It is twice that where reset comes before the product.
    """
    network = make_network(cell, inputs=25, units=20)
    result = archsim.simulate(network, make_trace(network, [6]), policy="none")
    assert np.diff(result.timing.step_end_cycles(0, 0, 0)).tolist() == [89 * (1 + CELLS[cell].resets_before)] * 5


@pytest.mark.parametrize("policy", ["none", *POLICIES])
@pytest.mark.parametrize("cell", ["rnn", "rnn-relu"])
def test_one_computation_unit_suffices_for_an_rnn(cell, policy):
    network = make_network(cell, inputs=6, units=5, layers=2)
    theta = None if policy == "none" else 0.3
    one = archsim.simulate(network, make_trace(network, [9]), arch_with(computation_units=1), policy, theta)
    four = archsim.simulate(network, make_trace(network, [9]), arch_with(), policy, theta)
    assert (one.record["cycles"] - four.record["cycles"]) <= 0.02 * four.record["cycles"]
    with pytest.raises(archsim.ArchsimError, match="needs computation_units >= 4 units, the machine has 1"):
        network = make_network("lstm", inputs=6, units=5)
        archsim.simulate(network, make_trace(network, [9]), arch_with(computation_units=1), policy, theta)


@pytest.mark.parametrize("cell, policy", cells_with(POLICIES))
def test_every_policy_reuses_on_every_cell_and_both_details_agree(cell, policy):
    network = make_network(cell, inputs=6, units=5, layers=2, bidirectional=True)
    trace = make_trace(network, [7, 3, 11])
    block, neuron = (
        archsim.simulate(network, trace, policy=policy, threshold=0.3, detail=detail).record
        for detail in ("block", "neuron")
    )
    assert block["macs_avoided_fraction"] > 0
    same = {key for key in block if key not in ("detail", "digest", "events", "wall_s")}
    assert {key: block[key] for key in same} == {key: neuron[key] for key in same}


def test_shared_dispatch_changes_no_cycle_of_a_cell_with_one_gate():
    """Only the units of a pass's gates share work (DEVIATIONS D16), so one unit has none to share with."""
    network = make_network("rnn", inputs=40, units=30)
    trace, shared = make_trace(network, [8]), arch_with(dispatch="shared", weight_buffer__banks=2)
    block, neuron, alone = (
        archsim.simulate(network, trace, arch, "bnn", 0.3, detail=detail).record["cycles"]
        for arch, detail in ((shared, "block"), (shared, "neuron"), (arch_with(weight_buffer__banks=2), "block"))
    )
    assert block == neuron == alone


# Files and arrays


@pytest.mark.parametrize(
    "cell, projection", [(name, p) for name, cell in CELLS.items() for p in (0, 3)[: 1 + cell.may_project]]
)
def test_saved_network_of_every_cell_is_the_same_when_loaded(cell, projection, tmp_path):
    network = make_network(cell, inputs=6, units=5, layers=2, bidirectional=True, projection=projection)
    loaded = load_network(save_network(network, tmp_path / "net"))
    assert loaded.digest == network.digest and loaded.layers[0].cell == CELLS[cell]


def test_cells_of_equal_weights_have_other_digests():
    networks = [make_network(cell, inputs=3, units=2) for cell in CELLS if cell.startswith("lstm")]
    assert len({network.digest for network in networks}) == len(networks)


def drawn(*shape):
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


def test_peepholes_of_onnx_order_are_those_of_torchs_reordered():
    w, u, b, p = drawn(16, 3), drawn(16, 4), drawn(16), drawn(12)
    rows, peepholes = np.r_[0:4, 12:16, 4:8, 8:12], np.r_[0:4, 8:12, 4:8]  # ifgo as iofg, ifo as iof
    ours, theirs = (
        archsim.Network.from_weights("lstm-peepholes", weight_ih=[a], weight_hh=[c], bias=[d], peepholes=[e], gate_order=o)
        for a, c, d, e, o in ((w, u, b, p, "torch"), (w[rows], u[rows], b[rows], p[peepholes], "onnx"))
    )  # fmt: skip
    assert ours.digest == theirs.digest


@pytest.mark.parametrize("cell, options, message", [
    ("lstm-peepholes", {}, r"entry \[0\] \(layer 0, forward\): peepholes is missing"),
    ("lstm", {"peepholes": [drawn(12)]}, "a lstm has no peepholes; cells with peepholes: lstm-peepholes, lstm-peepholes-hard"),
    ("lstm-peepholes", {"peepholes": [drawn(13)]}, r"peepholes has shape \(13,\), need \(3·H,\) with H = 4"),
    ("lstm-peepholes", {"peepholes": [drawn(3, 4)]}, r"peepholes has shape \(3, 4\), need \(3·H,\) with H = 4"),
    ("lstm-peepholes", {"peepholes": [drawn(15)]}, r"peepholes has shape \(15,\)"),
    ("lstm-peepholes", {"peepholes": [drawn(12)] * 2}, "peepholes has 2 arrays, weight_ih 1"),
    ("lstm-peepholes", {"peepholes": [np.full(12, np.inf)]}, "peepholes holds NaN or infinite"),
    ("lstm-peepholes", {"peepholes": 3}, "peepholes is a int, need a list"),
    ("lstm-hard-sigmoid", {}, "cell 'lstm-hard-sigmoid' is not supported, did you mean 'lstm-hard-sigmoid-"),
])  # fmt: skip
def test_peepholes_that_do_not_fit_are_refused(cell, options, message):
    with pytest.raises(NetworkError, match=message):
        archsim.Network.from_weights(cell, weight_ih=[drawn(16, 3)], weight_hh=[drawn(16, 4)], **options)


@pytest.mark.parametrize("policy", ["none", "oracle", "delta"])
def test_relu_rnn_that_outgrows_binary16_is_refused(policy):
    """h doubles at each step: 2^16 is beyond binary16 at step 17, and beyond float32 never within 40 steps."""
    network = one_unit("rnn-relu", [1.0], [2.0], [0.0])
    trace = archsim.Trace.from_arrays([np.ones((40, 1), np.float32)])
    theta = None if policy == "none" else 0.0
    with pytest.raises(
        NetworkError, match="l0: h of a rnn-relu grows beyond 65504 on these inputs: need smaller ones, or"
    ):
        archsim.simulate(network, trace, policy=policy, threshold=theta)
    assert archsim.simulate(network, trace, policy="none", precision="fp32").outputs[0][-1, 0] == 2.0**40 - 1
    with pytest.raises(NetworkError, match="grows beyond float32 on these inputs: need smaller ones$"):
        longer = archsim.Trace.from_arrays([np.ones((200, 1), np.float32)])
        archsim.simulate(network, longer, policy="none", precision="fp32")


def test_an_rnn_has_one_neuron_per_unit_and_an_lstm_four():
    assert (RNN.n_gates, RNN.n_products, LSTM.n_gates, LSTM.n_products) == (1, 1, 4, 4)
    network = make_network("rnn", inputs=6, units=5)
    assert archsim.simulate(network, make_trace(network, [9]), policy="none").record["neurons_total"] == 5 * 9
