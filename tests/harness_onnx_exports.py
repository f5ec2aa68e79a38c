"""Makers of ONNX models as exporters write them: one time step per call, and dynamically quantised operators."""

from __future__ import annotations

import numpy as np
import onnx
from harness_onnx import N_GATES, N_STATES, Builder, make_model, plain_model, runtime_outputs
from onnx import TensorProto, helper, numpy_helper


def step_model(*, op="LSTM", layers=1, batch=2, inputs=3, units=4, packed=True, keeps_scalar=False, seed=0):
    """Return an export of one time step, and its first feed: states come in as inputs and go out as outputs.

    packed: all states are one tensor (2·layers, B, H), as some exports have it, instead of one per state.
    keeps_scalar: a scalar input is added to the state, times zero, so that the export keeps it.
    """
    rng = np.random.default_rng(seed)
    build = Builder(plain_model(), "", rng, oracle=True)
    n_states = N_STATES[op]
    names = [f"{'hc'[i % n_states]}{i // n_states}" for i in range(n_states * layers)]
    value, states = build.add("Unsqueeze", ["x", build.constant(np.array([0], np.int64))]), []
    if packed:
        parts = build.add("Split", ["state"], len(names), axis=0)
        sources = [parts] if len(names) == 1 else list(parts)
    else:
        sources = names
    for layer in range(layers):
        rows, width = N_GATES[op] * units, inputs if layer == 0 else units
        weights = [build.weight(build.draw(1, rows, n)) for n in (width, units)] + [
            build.weight(build.draw(1, 2 * rows))
        ]
        start = sources[n_states * layer : n_states * (layer + 1)]
        options = {"hidden_size": units} | ({"linear_before_reset": 1} if op == "GRU" else {})
        outputs = build.add(op, [value, *weights, "", *start], 1 + n_states, name=f"rnn{layer}", **options)
        value = build.add("Squeeze", [outputs[0], build.constant(np.array([1], np.int64))])
        states += outputs[1:]
    last = build.add("Squeeze", [value, build.constant(np.array([0], np.int64))])
    results = [build.add("Sigmoid", [last])]
    if packed:
        joined = build.add("Concat", states, axis=0)
        if keeps_scalar:
            zero = build.add("Mul", ["rate", build.constant(np.int64(0))])
            joined = build.add("Add", [joined, build.add("Cast", [zero], to=TensorProto.FLOAT)])
        results.append(joined)
    else:
        results += [build.add("Identity", [state]) for state in states]
    feed = {"x": rng.standard_normal((batch, inputs)).astype(np.float32)}
    shapes = {"state": (len(names), batch, units)} if packed else dict.fromkeys(names, (1, batch, units))
    feed |= {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    feed |= {"rate": np.array(16000)} if keeps_scalar else {}
    return make_model(build.nodes, build.initializers, results, feed), feed


def quantised_model(rng, per_row, inputs=2, units=3, largest=0.02):
    """Return a bidirectional DynamicQuantizeLSTM with its dequantised W and R; `largest` is that of their scales."""
    rows = 4 * units
    names, tensors, weights = ["X"], [], {}
    for key, columns in (("W", inputs), ("R", units)):
        scale = rng.uniform(largest / 20, largest, (2, rows) if per_row else (2,)).astype(np.float32)
        if per_row:  # the runtime takes scales per row only where zero is code 0
            codes, zero = rng.integers(-127, 128, (2, columns, rows)).astype(np.int8), np.zeros((2, rows), np.int8)
        else:
            codes = rng.integers(0, 256, (2, columns, rows)).astype(np.uint8)
            zero = rng.integers(100, 150, 2).astype(np.uint8)
        full = [array.reshape(2, 1, -1) for array in (zero.astype(np.float32), scale)]
        weights[key] = ((codes.astype(np.float32) - full[0]) * full[1]).transpose(0, 2, 1)
        tensors += [(key, codes), (f"{key}_scale", scale), (f"{key}_zero_point", zero)]
    by_name = dict(tensors) | {"B": rng.standard_normal((2, 2 * rows)).astype(np.float32)}
    names += ["W", "R", "B", "", "", "", "", "W_scale", "W_zero_point", "R_scale", "R_zero_point"]
    node = helper.make_node(
        "DynamicQuantizeLSTM",
        names,
        ["Y", "Y_h", "Y_c"],
        name="q",
        domain="com.microsoft",
        hidden_size=units,
        direction="bidirectional",
    )
    X = helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, None, inputs])
    initializers = [numpy_helper.from_array(array, name) for name, array in by_name.items()]
    graph = helper.make_graph([node], "g", [X], [onnx.ValueInfoProto(name="Y")], initializers)
    opsets = [helper.make_opsetid("", 16), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8), weights


def called_by_runtime(model, feeds, carried):
    """Return the outputs of ONNX Runtime call by call, states handed on as `carried` says."""
    outputs = []
    for feed in feeds:
        states = {name: outputs[-1][output] for name, output in carried.items() if name not in feed}
        outputs.append(runtime_outputs(model, feed | states))
    return outputs
