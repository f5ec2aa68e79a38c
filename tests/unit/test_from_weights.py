"""Networks of arrays in three gate orders, beside torch and the formulas of ONNX and Keras written out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import archsim
from archsim.errors import NetworkError
from archsim.inference.run import run_inference
from archsim.policies import NoReuse

GATES = {"lstm": 4, "gru": 3, "gru-reset-before": 3}


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


def keras_step(cell, x, h, c, kernel, recurrent, bias):
    """One step of a Keras layer (use_bias): bias (2, G·H), the second zero where a GRU has reset_after=False."""
    inputs, hidden = x @ kernel + bias[0], h @ recurrent + bias[1]
    if cell == "lstm":
        i, f, cand, o = np.split(inputs + hidden, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(cand)
        return sigmoid(o) * np.tanh(c), c
    (xz, xr, xh), (hz, hr, hh) = np.split(inputs, 3), np.split(hidden, 3)
    z, r = sigmoid(xz + hz), sigmoid(xr + hr)
    if cell == "gru-reset-before":
        return z * h + (1 - z) * np.tanh(xh + (r * h) @ np.split(recurrent, 3, axis=1)[2] + np.split(bias[1], 3)[2]), c
    return z * h + (1 - z) * np.tanh(xh + r * hh), c


def onnx_step(cell, x, h, c, w, r, b):
    """One step of ONNX's LSTM or GRU (linear_before_reset = 1 or 0): B is (2·G·H,)."""
    wb, rb = np.split(b, 2)
    if cell == "lstm":
        i, o, f, cand = np.split(w @ x + r @ h + wb + rb, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(cand)
        return sigmoid(o) * np.tanh(c), c
    (wz, wr, wh), (rz, rr, rh), (bz, br, bh), (cz, cr, ch) = (np.split(v, 3) for v in (w @ x, r @ h, wb, rb))
    z, reset = sigmoid(wz + rz + bz + cz), sigmoid(wr + rr + br + cr)
    if cell == "gru-reset-before":
        return (1 - z) * np.tanh(wh + np.split(r, 3)[2] @ (reset * h) + ch + bh) + z * h, c
    return (1 - z) * np.tanh(wh + reset * (rh + ch) + bh) + z * h, c


STEPS = {"keras": keras_step, "onnx": onnx_step}


def naive_outputs(step, cell, x, layers):
    """Outputs of a stack: `layers` holds lists of (kernel, recurrent, bias), the second one in reverse."""
    for sides in layers:
        halves = []
        for reverse, arrays in enumerate(sides):
            units = min(arrays[1].shape)
            h, c, outputs = np.zeros(units), np.zeros(units), []
            for row in x[::-1] if reverse else x:
                h, c = step(cell, row, h, c, *arrays)
                outputs.append(h)
            halves.append(np.array(outputs)[:: -1 if reverse else 1])
        x = np.concatenate(halves, axis=1)
    return x


def torch_outputs(cell, x, network_layers, layers):
    torch = pytest.importorskip("torch")
    module = getattr(torch.nn, cell.upper())(
        x.shape[1], min(layers[0][0][1].shape), len(layers), bidirectional=len(layers[0]) == 2
    )
    state = {}
    for index, sides in enumerate(layers):
        for suffix, (ih, hh, bias) in zip(("", "_reverse"), sides, strict=False):
            for name, array in (("weight_ih", ih), ("weight_hh", hh), ("bias_ih", bias[0]), ("bias_hh", bias[1])):
                state[f"{name}_l{index}{suffix}"] = torch.from_numpy(array)
    module.load_state_dict(state)
    with torch.no_grad():
        return module(torch.from_numpy(x))[0].numpy()


def outputs_of(network, x):
    return run_inference(network, archsim.Trace.from_arrays([x]), NoReuse(), precision="fp32").outputs[0]


@st.composite
def stacks(draw):
    """A cell, a gate order, and random arrays by layer and direction, biases of every accepted form."""
    cell, order = draw(st.sampled_from(sorted(GATES))), draw(st.sampled_from(["torch", "onnx", "keras"]))
    if cell == "gru-reset-before" and order == "torch":  # which torch does not compute
        order = "onnx"
    units, inputs, depth = draw(st.integers(1, 5)), draw(st.integers(1, 6)), draw(st.integers(1, 3))
    sides, form = draw(st.sampled_from([1, 2])), draw(st.sampled_from(["pair", "one", "none", "end to end"]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows, layers = GATES[cell] * units, []
    for _ in range(depth):
        layers.append([])
        for _ in range(sides):
            w, r = (rng.uniform(-1, 1, (rows, n)).astype(np.float32) for n in (inputs, units))
            bias = rng.uniform(-1, 1, (2, rows)).astype(np.float32)
            bias[1] *= form in ("pair", "end to end")
            bias *= form != "none"
            layers[-1].append((w.T, r.T, bias) if order == "keras" else (w, r, bias))
        inputs = units * sides
    x = rng.uniform(-1, 1, (draw(st.integers(2, 7)), layers[0][0][0].shape[order != "keras"])).astype(np.float32)
    if form == "one" and order == "keras" and cell == "gru":
        form = "pair"
    if form == "end to end" and order != "onnx":
        form = "pair"
    return cell, order, layers, form, x


@settings(max_examples=240)
@given(stacks())
def test_outputs_of_arrays_equal_the_frameworks_formula(stack):
    cell, order, layers, form, x = stack
    forms = {
        "pair": lambda bias: tuple(bias),
        "one": lambda bias: bias[0],
        "none": lambda bias: None,
        "end to end": np.ravel,
    }
    flat = [arrays for sides in layers for arrays in sides]
    network = archsim.Network.from_weights(
        cell,
        weight_ih=[w for w, _, _ in flat],
        weight_hh=[r for _, r, _ in flat],
        bias=None if form == "none" else [forms[form](bias) for _, _, bias in flat],
        gate_order=order,
        bidirectional=len(layers[0]) == 2,
    )
    if order == "torch":
        expected = torch_outputs(cell, x, network.layers, layers)
    else:
        as_wanted = [[(w, r, b.ravel() if order == "onnx" else b) for w, r, b in sides] for sides in layers]
        expected = naive_outputs(STEPS[order], cell, x.astype(np.float64), as_wanted)
    np.testing.assert_allclose(outputs_of(network, x), expected, atol=2e-5)


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def test_arrays_with_an_axis_for_directions_are_taken_as_onnx_keeps_them():
    w, r, b = drawn(2, 12, 3), drawn(2, 12, 4), drawn(2, 24)
    network = archsim.Network.from_weights(
        "gru", weight_ih=w, weight_hh=r, bias=b, gate_order="onnx", bidirectional=True, name="mine"
    )
    assert network.name == "mine" and len(network.layers) == 1 and network.layers[0].directions[1].reverse
    assert "gate order of onnx" in network.provenance


def test_a_gru_candidate_keeps_its_two_biases_apart():
    arrays = {"weight_ih": [drawn(3, 2)], "weight_hh": [drawn(3, 1)]}
    x, outputs = drawn(5, 2, seed=1), []
    for pair in ([[0, 0, 1.0], [0, 0, 0.0]], [[0, 0, 0.0], [0, 0, 1.0]]):
        outputs.append(outputs_of(archsim.Network.from_weights("gru", **arrays, bias=[pair]), x))
    assert np.abs(outputs[0] - outputs[1]).max() > 0.05


@pytest.mark.parametrize("hard", ["", "-hard-sigmoid-fifth", "-hard-sigmoid-sixth"])
def test_a_keras_gru_with_one_bias_resets_before_its_product(hard):
    arrays = {"weight_ih": [drawn(3, 12)], "weight_hh": [drawn(4, 12)], "gate_order": "keras"}
    cells = [
        archsim.Network.from_weights(f"gru{hard}", **arrays, bias=bias).layers[0].cell.name
        for bias in ([drawn(12)], [drawn(2, 12)], None)
    ]
    assert cells == [f"gru-reset-before{hard}", f"gru{hard}", f"gru{hard}"]


def refused(message, **changes):
    arguments = {"cell": "lstm", "weight_ih": [drawn(16, 3)], "weight_hh": [drawn(16, 4)], "bias": [drawn(16)]}
    with pytest.raises(NetworkError, match=message):
        archsim.Network.from_weights(**(arguments | changes))


@pytest.mark.parametrize("changes, message", [
    ({"cell": "lstmm"}, "from_weights: cell 'lstmm' is not supported, did you mean 'lstm'"),
    ({"gate_order": "Torch"}, "gate_order = 'Torch', did you mean 'torch'.*accepted: torch, onnx, keras"),
    ({"gate_order": None}, "gate_order = None; accepted: torch, onnx, keras"),
    ({"gate_order": "keras"}, r"weight_hh\[0\] \(layer 0, forward\) has shape \(16, 4\), a lstm in the gate order of keras "
                              r"needs \(H, 4·H\); that shape suits gate_order 'torch' or 'onnx'"),
    ({"weight_hh": [drawn(4, 16)]}, r"has shape \(4, 16\).*needs \(4·H, H\); that shape suits gate_order 'keras'"),
    ({"weight_ih": [drawn(3, 16)]}, r"weight_ih\[0\].* has shape \(3, 16\).*needs \(4·H, I\) with H = 4; that shape suits"),
    ({"weight_ih": [drawn(15, 3)]}, r"weight_ih\[0\].* has shape \(15, 3\).*needs \(4·H, I\) with H = 4$"),
    ({"weight_ih": [drawn(16, 0)]}, r"has shape \(16, 0\)"),
    ({"weight_ih": drawn(16, 3)}, r"weight_ih is one array of shape .16, 3., need a list, one per"),
    ({"weight_ih": None}, "weight_ih is a NoneType, need a list of numpy arrays"),
    ({"weight_ih": {"l0": drawn(16, 3)}}, "weight_ih is a dict, need a list"),
    ({"weight_ih": [], "weight_hh": [], "bias": None}, "weight_ih has 0 arrays"),
    ({"weight_ih": [[[1.0, 2.0], [3.0]]]}, "no array of numbers"),
    ({"weight_ih": [np.ones((16, 3), np.int64)]}, r"entry \[0\] \(layer 0, forward\): weight_ih is int64, need floating point"),
    ({"weight_hh": [np.full((16, 4), np.nan)]}, "weight_hh holds NaN"),
    ({"weight_hh": [np.full((16, 4), 1e300)]}, "weight_hh holds NaN or infinite"),
    ({"bias": [drawn(16), drawn(16)]}, r"bias has 2 arrays, weight_ih 1.*are a pair: bias=\[\(b_ih, b_hh\)\]"),
    ({"bias": [drawn(32)]}, r"bias\[0\].* has shape \(32,\), need \(16,\), a pair of them \(2, 16\) or None"),
    ({"bias": [drawn(15)], "gate_order": "onnx"}, r"need \(16,\), a pair of them \(2, 16\), \(32,\) or None"),
    ({"bidirectional": True}, "weight_ih has 1 arrays, need one per .layer, direction.: forward, reverse of layer 0"),
    ({"weight_ih": [drawn(16, 3), drawn(16, 5)], "weight_hh": [drawn(16, 4)] * 2, "bias": None}, "layer 1 takes 5 inputs, layer 0 gives 4"),
    ({"weight_ih": [drawn(16, 3), drawn(16, 5)], "weight_hh": [drawn(16, 4)] * 2, "bias": None, "bidirectional": True},
     r"directions of layer 0 have \(inputs, units\) \(3, 4\) and \(5, 4\): need the same"),
    ({"cell": "gru", "gate_order": "keras", "weight_ih": [drawn(3, 12), drawn(4, 12)], "weight_hh": [drawn(4, 12)] * 2, "bias": [drawn(12), drawn(2, 12)]},
     r"some biases have one row \(reset_after=False\) and some two"),
])  # fmt: skip
def test_arrays_that_do_not_fit_are_refused(changes, message):
    refused(message, **changes)
