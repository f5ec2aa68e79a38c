"""Makers of small ONNX models with recurrent nodes, and the same models as ONNX Runtime runs them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import onnx
import onnxruntime
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

N_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
N_STATES = {"LSTM": 2, "GRU": 1, "RNN": 1}
WEIGHT_FORMS = ("plain", "sliced", "joined", "transposed", "double", "dequantised", "constant")
ACTIVATIONS = {
    ("LSTM", "sigmoid"): ["Sigmoid", "Tanh", "Tanh"],
    ("LSTM", "hard"): ["HardSigmoid", "Tanh", "Tanh"],
    ("GRU", "sigmoid"): ["Sigmoid", "Tanh"],
    ("GRU", "hard"): ["HardSigmoid", "Tanh"],
    ("RNN", "tanh"): ["Tanh"],
    ("RNN", "relu"): ["Relu"],
}
"""Activation functions of one direction by operator and by what the first of them is."""
FIRST_ACTIVATIONS = ("default", "written out", "hard", "hard fifth", "hard sixth")
STARTS = ("none", "zeros", "constant", "input")
BETWEEN = ("shape only", "tanh", "matmul")


@dataclass(frozen=True)
class NodeSpec:
    """Options of one recurrent node."""

    op: str = "LSTM"
    direction: str = "forward"
    layout: int = 0
    units: int = 3
    bias: bool = True
    start: str = "none"
    lens: str = "none"
    weights: str = "plain"
    uses: tuple[bool, bool, bool] = (True, True, True)
    """Whether the model uses Y, Y_h and Y_c; one that a later node needs is there in any case."""
    first_activation: str = "default"
    """Activation function of the gates, or of an RNN: "hard" is ReLU there, and leaves out alpha and beta elsewhere."""
    peepholes: bool = False
    """Whether an LSTM has peepholes."""
    resets_before: bool = False
    """Whether a GRU resets before its product with h."""
    attributes: dict = field(default_factory=dict)

    @property
    def activations(self):
        """Attributes of the operator that choose its activation functions."""
        if self.first_activation == "default":
            return {}
        if self.op == "RNN":
            first = "relu" if self.first_activation.startswith("hard") else "tanh"
        else:
            first = self.first_activation.split()[0].replace("written", "sigmoid")
        chosen = {"activations": ACTIVATIONS[self.op, first] * self.n_directions}
        if self.op == "RNN" or " " not in self.first_activation or first != "hard":
            return chosen
        slope = {"hard fifth": 0.2, "hard sixth": 1 / 6}[self.first_activation]
        values = {"activation_alpha": slope, "activation_beta": 0.5}
        return chosen | {key: [value] * self.n_directions for key, value in values.items()}

    @property
    def n_directions(self):
        return 2 if self.direction == "bidirectional" else 1


@dataclass(frozen=True)
class ModelSpec:
    """Recurrent nodes one after the other, with other operators between them."""

    nodes: tuple[NodeSpec, ...]
    steps: int = 4
    batch: int = 2
    inputs: int = 3
    between: tuple[str, ...] = ("shape only", "shape only")
    branch: bool = False
    """True if all nodes are in a branch of an `If` whose condition is an input."""
    seed: int = 0


node_specs = st.builds(
    NodeSpec,
    op=st.sampled_from(["LSTM", "GRU", "RNN"]),
    direction=st.sampled_from(["forward", "reverse", "bidirectional"]),
    layout=st.sampled_from([0, 1]),
    units=st.integers(1, 5),
    bias=st.booleans(),
    start=st.sampled_from(STARTS),
    lens=st.sampled_from(["none", "none", "constant", "input"]),
    weights=st.sampled_from(WEIGHT_FORMS),
    uses=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    first_activation=st.sampled_from(FIRST_ACTIVATIONS),
    peepholes=st.booleans(),
    resets_before=st.booleans(),
)
model_specs = st.builds(
    ModelSpec,
    nodes=st.lists(node_specs, min_size=1, max_size=3).map(tuple),
    steps=st.integers(2, 6),
    batch=st.integers(1, 3),
    inputs=st.integers(1, 4),
    between=st.tuples(st.sampled_from(BETWEEN), st.sampled_from(BETWEEN)),
    branch=st.booleans(),
    seed=st.integers(0, 10_000),
)


def plain_model(*nodes, **options):
    """Return the specification of a model of these nodes with nothing but shapes changed between them."""
    return ModelSpec(nodes or (NodeSpec(),), **options)


def changed(node, **changes):
    """Return a node's options with some changed."""
    return replace(node, **changes)


class Builder:
    """Builder of the nodes of one graph. As an oracle it has no `layout`, which ONNX Runtime does not support."""

    def __init__(self, spec, prefix, rng, *, oracle):
        self.spec, self.prefix, self.rng, self.oracle = spec, prefix, rng, oracle
        self.nodes, self.initializers, self.feeds, self.results = [], [], {}, []
        self.count = 0

    def name(self, stem):
        self.count += 1
        return f"{self.prefix}{stem}_{self.count}"

    def add(self, op, inputs, n_outputs=1, domain="", name=None, **attributes):
        outputs = [self.name(op) for _ in range(n_outputs)]
        self.nodes.append(helper.make_node(op, inputs, outputs, name=name or "", domain=domain, **attributes))
        return outputs[0] if n_outputs == 1 else outputs

    def weight(self, array):
        name = self.name("w")
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def constant(self, array):
        return self.add("Constant", [], value=numpy_helper.from_array(np.asarray(array)))

    def draw(self, *shape):
        return self.rng.uniform(-0.9, 0.9, shape).astype(np.float32)

    def formed(self, array, form):
        """Return a value that constants compute to `array`, or nearly so."""
        if form == "sliced":
            longer = self.weight(np.concatenate([array, self.draw(*array.shape)], axis=-1))
            ends = [self.constant(np.array([n], np.int64)) for n in (0, array.shape[-1], -1)]
            return self.add("Slice", [longer, *ends])
        if form == "joined":
            cut = array.shape[1] // 2
            return self.add("Concat", [self.weight(array[:, :cut]), self.weight(array[:, cut:])], axis=1)
        if form == "transposed":
            order = list(range(array.ndim))[::-1]
            return self.add("Transpose", [self.weight(array.transpose(order))], perm=order)
        if form == "double":
            return self.add("Cast", [self.weight(array.astype(np.float64))], to=TensorProto.FLOAT)
        if form == "dequantised":
            codes = np.clip(np.rint(array * 100) + 3, -128, 127).astype(np.int8)
            scale, zero = self.constant(np.float32(0.01)), self.constant(np.int8(3))
            return self.add("DequantizeLinear", [self.weight(codes), scale, zero])
        return self.constant(array) if form == "constant" else self.weight(array)

    def start(self, node, batch):
        """Return a state's name, and its array where it is fed; in the layout of the node."""
        shape = (node.n_directions, batch, node.units)
        array = np.zeros(shape, np.float32) if node.start == "zeros" else self.draw(*shape)
        given = np.ascontiguousarray(array.swapaxes(0, 1)) if node.layout else array
        if node.start != "input":
            name = self.weight(given)
        else:
            name = f"{self.prefix}state_{len(self.feeds)}"
            self.feeds[name] = given
        return self.add("Transpose", [name], perm=[1, 0, 2]) if node.layout and self.oracle else name

    def recurrent(self, node, X, sizes, name):
        """Add a node; return Y as (T, B, D·H), and its width."""
        T, B, inputs = sizes
        rows, D = N_GATES[node.op] * node.units, node.n_directions
        names = [
            X,
            self.formed(self.draw(D, rows, inputs), node.weights),
            self.formed(self.draw(D, rows, node.units), node.weights),
            self.formed(self.draw(D, 2 * rows), node.weights) if node.bias else "",
        ]
        names.append(self.lens(node, T, B))
        n_states = N_STATES[node.op]
        names += [self.start(node, B) for _ in range(n_states)] if node.start != "none" else [""] * n_states
        if node.op == "LSTM" and node.peepholes:
            names.append(self.formed(self.draw(D, 3 * node.units), node.weights))
        attributes = dict(node.attributes, **node.activations, direction=node.direction, hidden_size=node.units)
        if node.op == "GRU":
            attributes.setdefault("linear_before_reset", int(not node.resets_before))
        if node.layout and not self.oracle:
            names[0] = self.add("Transpose", [X], perm=[1, 0, 2])
            attributes["layout"] = 1
        outputs = self.add(node.op, names, 1 + n_states, name=name, **attributes)
        return self.joined(node, list(outputs))

    def joined(self, node, outputs):
        """Return Y with directions joined, steps first, and note what the model gives out."""
        in_layout = outputs
        if node.layout and self.oracle:
            in_layout = [self.add("Transpose", [outputs[0]], perm=[2, 0, 1, 3])]
            in_layout += [self.add("Transpose", [state], perm=[1, 0, 2]) for state in outputs[1:]]
        self.results += [self.add("Identity", [y]) for y, used in zip(in_layout, node.uses, strict=False) if used]
        order = [1, 0, 2, 3] if node.layout and not self.oracle else [0, 2, 1, 3]
        moved = self.add("Transpose", [outputs[0]], perm=order)
        return self.add("Reshape", [moved, self.constant(np.array([0, 0, -1], np.int64))])

    def lens(self, node, T, B):
        if node.lens == "none":
            return ""
        lengths = self.rng.integers(1, T + 1, B).astype(np.int32)
        if node.lens == "constant":
            return self.weight(lengths)
        name = f"{self.prefix}lens_{len(self.feeds)}"
        self.feeds[name] = lengths
        return name

    def body(self, X):
        """Add all nodes of the model; return the names of its outputs."""
        spec, width = self.spec, self.spec.inputs
        value = self.add("Tanh", [X])
        for index, node in enumerate(spec.nodes):
            value = self.recurrent(node, value, (spec.steps, spec.batch, width), f"{self.prefix}rnn{index}")
            width = node.units * node.n_directions
            between = spec.between[index] if index < len(spec.nodes) - 1 and index < len(spec.between) else "shape only"
            if between == "tanh":
                value = self.add("Tanh", [value])
            elif between == "matmul":
                value = self.add("MatMul", [value, self.weight(self.draw(width, 2))])
                width = 2
        return [value, *self.results]


def build(spec, *, oracle=False):
    """Return a model and feeds for it; the same numbers for the oracle."""
    rng = np.random.default_rng(spec.seed)
    X = rng.standard_normal((spec.steps, spec.batch, spec.inputs)).astype(np.float32)
    if not spec.branch:
        main = Builder(spec, "", rng, oracle=oracle)
        outputs = main.body("X")
        return make_model(main.nodes, main.initializers, outputs, feeds := {"X": X, **main.feeds}), feeds
    branches = [Builder(spec, prefix, rng, oracle=oracle) for prefix in ("yes_", "no_")]
    graphs = []
    for branch in branches:
        outputs = [onnx.ValueInfoProto(name=name) for name in branch.body("outer_X")]
        graphs.append(helper.make_graph(branch.nodes, branch.prefix, [], outputs))
    outer = [helper.make_node("Identity", ["X"], ["outer_X"])]
    names = [f"out_{i}" for i in range(len(graphs[0].output))]
    outer.append(helper.make_node("If", ["flag"], names, "choice", then_branch=graphs[0], else_branch=graphs[1]))
    outer.append(helper.make_node("Neg", [names[0]], ["negated"]))
    feeds = {"X": X, "flag": np.array(bool(spec.seed % 2)), **branches[0].feeds, **branches[1].feeds}
    initializers = [tensor for branch in branches for tensor in branch.initializers]
    return make_model(outer, initializers, [*names, "negated"], feeds), feeds


def make_model(nodes, initializers, outputs, feeds):
    kinds = {name: helper.np_dtype_to_tensor_dtype(array.dtype) for name, array in feeds.items()}
    inputs = [helper.make_tensor_value_info(name, kind, [None] * feeds[name].ndim) for name, kind in kinds.items()]
    values = [onnx.ValueInfoProto(name=name) for name in outputs]
    graph = helper.make_graph(nodes, "g", inputs, values, initializers)
    opsets = [helper.make_opsetid("", 16), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def saved(model, folder, name="model.onnx"):
    """Write a model to a file in a folder; return its path."""
    path = folder / name
    path.write_bytes(model.SerializeToString())
    return path


def runtime_outputs(model, feeds):
    """Return the outputs of ONNX Runtime by name."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))
