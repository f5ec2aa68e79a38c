"""Networks of the recurrent nodes of ONNX models, with ONNX Runtime as the oracle."""

import sys
from dataclasses import replace

import numpy as np
import pytest

import archsim

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from harness_onnx import (  # noqa: E402
    WEIGHT_FORMS,
    Builder,
    ModelSpec,
    NodeSpec,
    build,
    changed,
    model_specs,
    node_specs,
    plain_model,
    runtime_outputs,
    saved,
)
from harness_onnx_exports import quantised_model  # noqa: E402
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from archsim.importers.onnx_import import OnnxImport  # noqa: E402

stateless = node_specs.map(lambda node: changed(node, lens="none", start="zeros" if node.start == "zeros" else "none"))


def imported(model, folder, **options):
    return archsim.from_onnx(saved(model, folder), **options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("onnx")


@settings(max_examples=80)
@given(model_specs, st.lists(stateless, min_size=1, max_size=3))
def test_network_of_a_stack_computes_what_onnx_runtime_does(folder, spec, nodes):
    """Operators, directions, layouts, biases and forms of weights crossed; nothing but shapes changed between nodes."""
    spec = replace(spec, nodes=tuple(nodes), between=("shape only", "shape only"), branch=False)
    model, feeds = build(spec)
    network = imported(model, folder)
    assert len(network.layers) == len(nodes)
    trace = archsim.Trace.from_arrays(list(np.tanh(feeds["X"]).swapaxes(0, 1)))
    result = archsim.simulate(network, trace, policy="none", precision="fp32")
    expected = next(iter(runtime_outputs(build(spec, oracle=True)[0], feeds).values()))
    np.testing.assert_allclose(np.stack(result.outputs, axis=1), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("form", WEIGHT_FORMS)
def test_weights_computed_from_constants_are_folded(form, folder):
    spec = plain_model(NodeSpec(weights=form))
    direction = imported(build(spec)[0], folder).layers[0].directions[0]
    plain = imported(build(plain_model(NodeSpec()))[0], folder).layers[0].directions[0]
    tolerance = 0.01 if form == "dequantised" else 1e-7
    np.testing.assert_allclose(direction.weight_ih, plain.weight_ih, atol=tolerance)


def test_nodes_with_an_operator_between_are_separate_stacks(folder):
    spec = plain_model(NodeSpec(), NodeSpec(), between=("tanh",))
    path = saved(build(spec)[0], folder)
    with pytest.raises(archsim.ArchsimError, match="several separate stacks; accepted: layer=NAME, one of rnn0; rnn1"):
        archsim.from_onnx(path)
    assert [layer.name for layer in archsim.from_onnx(path, layer="rnn1").layers] == ["rnn1"]


def test_unknown_layer_is_refused_with_the_stacks_there_are(folder):
    model, _ = build(plain_model(NodeSpec(), NodeSpec()))
    with pytest.raises(archsim.ArchsimError, match="layer = 'rnn' is no recurrent node; .* rnn0 -> rnn1"):
        imported(model, folder, layer="rnn")


def test_either_node_of_a_stack_names_it(folder):
    model, _ = build(plain_model(NodeSpec(), NodeSpec()))
    for layer in (None, "rnn0", "rnn1"):
        assert [y.name for y in imported(model, folder, layer=layer).layers] == ["rnn0", "rnn1"]


def test_nodes_in_branches_are_found(folder):
    path = saved(build(plain_model(NodeSpec(), branch=True))[0], folder)
    with pytest.raises(archsim.ArchsimError, match="no_rnn0; yes_rnn0"):
        archsim.from_onnx(path)
    assert archsim.from_onnx(path, "no_rnn0").layers[0].hidden_size == 3


def test_constant_state_other_than_zero_is_refused_with_the_way_out(folder):
    model, _ = build(plain_model(NodeSpec(start="constant")))
    with pytest.raises(archsim.ArchsimError, match="rnn0: initial_h = .* constant and not zero.*archsim.OnnxModel"):
        imported(model, folder)


def test_state_given_to_the_model_is_said_in_the_provenance(folder):
    network = imported(build(plain_model(NodeSpec(start="input")))[0], folder)
    assert "initial_h is 'state_0' of the model" in network.provenance
    assert "begins in zeros unless the trace gives states" in network.provenance


# Refusals


def node_model(op, *, extra_inputs=(), outputs=("Y",), rows=12, directions=1, inputs=(), **attributes):
    """Return a model of one node `odd` with 2 inputs, 3 units and extra inputs at its end."""
    rng = np.random.default_rng(0)
    shapes = {"W": (directions, rows, 2), "R": (directions, rows, 3), "B": (directions, 2 * rows)}
    weights = [numpy_helper.from_array(rng.standard_normal(s).astype(np.float32), n) for n, s in shapes.items()]
    extra = [numpy_helper.from_array(array, name) for name, array in extra_inputs]
    names = ["X", *shapes, *(name for name, _ in extra_inputs)] if not inputs else list(inputs)
    node = helper.make_node(op, names, list(outputs), name="odd", hidden_size=3, **attributes)
    X = helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, None, 2])
    graph = helper.make_graph([node], "g", [X], [onnx.ValueInfoProto(name="Y")], [*weights, *extra])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)], ir_version=8)


def with_peepholes(values):
    inputs = ["X", "W", "R", "B", "", "", "", "P"]
    return node_model("LSTM", inputs=inputs, extra_inputs=[("P", values)])


@pytest.mark.parametrize("model, reason", [
    (lambda: node_model("LSTM", clip=3.0), r"odd \(LSTM\): clip = 3 is not simulated"),
    (lambda: node_model("LSTM", input_forget=1), r"odd \(LSTM\): input_forget = 1 \(coupled gates\) is not simulated"),
    (lambda: node_model("LSTM", activations=["Relu", "Tanh", "Tanh"]), "activations = Relu, Tanh, Tanh, accepted: Sigmoid, "
        r"Tanh, Tanh; HardSigmoid \(alpha 0.2, beta 0.5\), Tanh, Tanh; HardSigmoid \(alpha 0.166667, beta 0.5\), Tanh, Tanh"),
    (lambda: node_model("LSTM", activations=["HardSigmoid", "Tanh", "Tanh"], activation_alpha=[0.25]),
        r"activations = HardSigmoid \(alpha 0.25, beta 0.5\), Tanh, Tanh, accepted: Sigmoid, Tanh, Tanh; Hard"),
    (lambda: node_model("LSTM", activations=["HardSigmoid", "HardSigmoid", "Tanh"]), "activations = HardSigmoid .*, HardSig"),
    (lambda: node_model("LSTM", activations=["Sigmoid", "Tanh"]), "activations = Sigmoid, Tanh, accepted"),
    (lambda: node_model("LSTM", activation_alpha=[0.5]), "activation_alpha has 1 values more than activations HardSigmoid"),
    (lambda: node_model("RNN", rows=3, activations=["Softsign"]), "activations = softsign, accepted: Tanh; Relu"),
    (lambda: node_model("RNN", rows=3, directions=2, direction="bidirectional", activations=["Tanh", "Relu"]),
        "activations = Tanh, Relu, accepted for each direction: Tanh; Relu"),
    (lambda: node_model("RNN", rows=3, clip=1.0), r"odd \(RNN\): clip = 1 is not simulated"),
    (lambda: node_model("AttnLSTM"), r"odd \(AttnLSTM\): operator AttnLSTM is not simulated; accepted: LSTM, Dyn"),
    (lambda: node_model("LSTM", direction="sideways"), "direction = 'sideways', accepted: forward, reverse, bi"),
    (lambda: node_model("LSTM", layout=2), "layout = 2, accepted: 0, 1"),
    (lambda: node_model("LSTM", rows=9), r"W has shape \(9, 2\) and R \(9, 3\) per direction, need \(4·H"),
    (lambda: node_model("LSTM", directions=2), r"W has shape \(2, 12, 2\), need 3 axes, the first 1 long"),
    (lambda: node_model("LSTM", inputs=["X", "X", "R"]), "W = 'X' is computed from inputs of the model"),
    (lambda: node_model("LSTM", inputs=["X", "W"]), "odd.*: has no R"),
    (lambda: with_peepholes(np.ones((1, 8), np.float32)), r"P has shape \(1, 8\), need \(1, 9\)"),
    (lambda: with_peepholes(np.ones((2, 9), np.float32)), r"P has shape \(2, 9\), need 2 axes, the first 1 long"),
    (lambda: with_peepholes(np.full((1, 9), np.nan, np.float32)), "peepholes holds NaN"),
])  # fmt: skip
def test_options_that_are_not_simulated_are_refused_by_node_and_reason(model, reason, folder):
    with pytest.raises(archsim.ArchsimError, match=reason) as caught:
        imported(model(), folder)
    assert "archsim.Network.from_weights" in str(caught.value) and "--prefix" in str(caught.value)


def test_peepholes_of_zeros_are_none(folder):
    layer = imported(with_peepholes(np.zeros((1, 9), np.float32)), folder).layers[0]
    assert layer.cell.name == "lstm" and layer.directions[0].peepholes is None


def test_peepholes_are_in_torchs_order_of_gates(folder):
    layer = imported(with_peepholes(np.arange(1, 10, dtype=np.float32)[None]), folder).layers[0]
    assert layer.cell.name == "lstm-peepholes"
    assert layer.directions[0].peepholes.tolist() == [1, 2, 3, 7, 8, 9, 4, 5, 6]  # iof as ifo


@pytest.mark.parametrize("op, rows, attributes, cell", [
    ("RNN", 3, {}, "rnn"),
    ("RNN", 3, {"activations": ["Relu"]}, "rnn-relu"),
    ("GRU", 9, {"activations": ["HardSigmoid", "Tanh"]}, "gru-hard-sigmoid-fifth"),
    ("GRU", 9, {"activations": ["hardsigmoid", "tanh"], "activation_alpha": [0.2]}, "gru-hard-sigmoid-fifth"),
    ("LSTM", 12, {"activations": ["HardSigmoid", "Tanh", "Tanh"], "activation_alpha": [1 / 6]}, "lstm-hard-sigmoid-sixth"),
])  # fmt: skip
def test_cell_is_named_by_the_activation_functions(op, rows, attributes, cell, folder):
    attributes |= {"linear_before_reset": 1} if op == "GRU" else {}
    assert imported(node_model(op, rows=rows, **attributes), folder).layers[0].cell.name == cell


def test_default_activations_may_be_written_out_in_any_case(folder):
    given = ["sigmoid", "TANH", "Tanh"]
    assert imported(node_model("LSTM", activations=given), folder).layers[0].cell.name == "lstm"


def test_all_reasons_of_all_nodes_are_listed_at_once(folder):
    odd = [NodeSpec(attributes={"clip": 2.0, "input_forget": 1}), NodeSpec(op="GRU", attributes={"clip": 1.0})]
    with pytest.raises(archsim.ArchsimError) as caught:
        imported(build(ModelSpec(tuple(odd)))[0], folder)
    message = str(caught.value)
    assert all(part in message for part in ("rnn0 (LSTM): clip = 2", "input_forget = 1", "rnn1 (GRU): clip = 1"))


def test_refused_node_beside_a_good_one_has_to_be_named(folder):
    path = saved(build(plain_model(NodeSpec(), NodeSpec(attributes={"clip": 2.0})))[0], folder)
    with pytest.raises(archsim.ArchsimError, match="accepted: layer=NAME, one of rnn0; refused: rnn1"):
        archsim.from_onnx(path)
    assert archsim.from_onnx(path, layer="rnn0").layers[0].name == "rnn0"
    with pytest.raises(archsim.ArchsimError, match=r"rnn1 \(LSTM\): clip = 2"):
        archsim.from_onnx(path, layer="rnn1")


def test_node_inside_a_loop_is_refused_by_name(folder):
    inner = Builder(plain_model(NodeSpec()), "in_", np.random.default_rng(0), oracle=False)
    inner.body("X")
    inputs = [helper.make_tensor_value_info(n, k, []) for n, k in (("i", TensorProto.INT64), ("c", TensorProto.BOOL))]
    body = helper.make_graph(inner.nodes, "body", inputs, [onnx.ValueInfoProto(name="c")], inner.initializers)
    loop = helper.make_node("Loop", ["trips", "go"], [], name="again", body=body)
    model, _ = build(plain_model(NodeSpec()))
    trips = [numpy_helper.from_array(array, name) for name, array in (("trips", np.array(2)), ("go", np.array(True)))]
    model.graph.initializer.extend(trips)
    model.graph.node.append(loop)
    with pytest.raises(archsim.ArchsimError, match=r"refused: in_rnn0 \(LSTM\): is inside Loop again"):
        imported(model, folder)


def test_model_without_recurrent_operator_is_refused_as_unrolled(folder):
    model, _ = build(plain_model(NodeSpec()))
    del model.graph.node[:], model.graph.output[:]
    model.graph.node.extend([helper.make_node("Gemm", ["X", "X"], ["a"]), helper.make_node("Split", ["a"], ["b", "c"])])
    with pytest.raises(archsim.ArchsimError, match="no recurrent operator .* among Gemm x 1, Split x 1.*unrolled"):
        imported(model, folder)


def with_loop(model):
    """Add a loop that multiplies, as exporters write recurrent layers that they have no operator for."""
    inputs = [helper.make_tensor_value_info(n, k, []) for n, k in (("i", TensorProto.INT64), ("c", TensorProto.BOOL))]
    product = helper.make_node("MatMul", ["ones", "ones"], ["product"])
    body = helper.make_graph([product], "body", inputs, [onnx.ValueInfoProto(name="c")])
    arrays = {"trips": np.array(2), "go": np.array(True), "ones": np.ones((2, 2), np.float32)}
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in arrays.items())
    model.graph.node.append(helper.make_node("Loop", ["trips", "go"], [], name="again", body=body))
    return model


def test_model_whose_only_recurrence_is_a_loop_is_refused_as_a_loop(folder):
    model, _ = build(plain_model(NodeSpec()))
    del model.graph.node[:], model.graph.output[:]
    with pytest.raises(archsim.ArchsimError, match="no recurrent operator .*written as a Loop with matrix products"):
        imported(with_loop(model), folder)


def test_loop_with_products_beside_a_recurrent_node_is_noted_in_the_table(folder):
    model, _ = build(plain_model(NodeSpec()))
    rows = {row.kind: row for row in archsim.OnnxModel(saved(with_loop(model), folder)).table.rows}
    assert rows["Loop"].outcome == "left outside" and "is not simulated, nor in time and energy" in rows["Loop"].note
    assert not rows["MatMul"].note


def test_model_without_recurrence_or_products_is_told_no_way_out(folder):
    model, _ = build(plain_model(NodeSpec()))
    del model.graph.node[:], model.graph.output[:]
    model.graph.node.append(helper.make_node("Relu", ["X"], ["a"]))
    with pytest.raises(archsim.ArchsimError, match="among Relu x 1, ..., and no matrix product"):
        imported(model, folder)


def test_bytes_in_the_place_of_a_path_are_refused():
    with pytest.raises(archsim.ArchsimError, match="model is a bytes: need the path of an ONNX file"):
        archsim.OnnxModel(b"")


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x08"])
def test_files_that_are_no_models_are_refused(content, tmp_path):
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    with pytest.raises(archsim.ArchsimError, match=f"{path}: not a"):
        archsim.from_onnx(path)


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(archsim.ArchsimError, match="no such file, need an ONNX model"):
        archsim.from_onnx(tmp_path / "none.onnx")


def test_missing_package_names_the_extra(monkeypatch, folder):
    path = saved(build(plain_model(NodeSpec()))[0], folder)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(archsim.ArchsimError, match=r"need the package onnxruntime: pip install 'archsim\[onnx\]'"):
        archsim.from_onnx(path)


# Quantised


@pytest.mark.parametrize("per_row", [False, True])
def test_quantised_node_has_dequantised_weights_and_says_so(per_row, folder, rng):
    model, weights = quantised_model(rng, per_row)
    network = imported(model, folder)
    assert "weights dequantised" in network.provenance
    onnx_rows = np.r_[0:3, 6:9, 9:12, 3:6]  # iofc as torch's ifgo
    for d, direction in enumerate(network.layers[0].directions):
        np.testing.assert_allclose(direction.weight_ih, weights["W"][d][onnx_rows], atol=1e-7)
        np.testing.assert_allclose(direction.weight_hh, weights["R"][d][onnx_rows], atol=1e-7)


# The table


def test_table_lists_every_node_simulated_outside_or_refused(folder):
    model, _ = build(plain_model(NodeSpec(), NodeSpec(direction="bidirectional"), NodeSpec(attributes={"clip": 2.0})))
    table = OnnxImport(saved(model, folder)).table()
    assert [(row.part, row.outcome) for row in table.rows[:3]] == [
        ("rnn0", "simulated here"),
        ("rnn1", "simulated here"),
        ("rnn2", "refused"),
    ]
    assert table.rows[1].note == "lstm, 3 inputs, 3 units, bidirectional; fed by rnn0"
    counted = sum(int(row.part.split()[0]) for row in table.rows[3:])
    assert 3 + counted == len(model.graph.node)
    assert "rnn2" in str(table) and "clip = 2 is not simulated" in str(table)
