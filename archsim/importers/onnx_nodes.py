"""Recurrent nodes of an ONNX graph as layers, in torch's gate order, or the reasons for which they are refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from archsim.errors import NetworkError
from archsim.importers.onnx_cells import CELLS_OF, cell_of
from archsim.importers.onnx_graph import RECURRENT, Array, OnnxFile, Scope, attributes_of, contains
from archsim.ir.cells import Cell
from archsim.ir.gate_orders import GATE_ORDERS
from archsim.ir.layers import Direction, Layer, make_direction

if TYPE_CHECKING:
    import onnx

DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
"""Whether each direction of a node runs backwards."""
KINDS = {
    **dict.fromkeys(("layout", "input_forget", "linear_before_reset", "hidden_size"), int),
    **{"direction": str, "clip": float},
    **dict.fromkeys(("activations", "activation_alpha", "activation_beta"), list),
}
"""Types of the attributes of recurrent operators."""
INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
QUANTISED_INPUTS = (*INPUTS, "W_scale", "W_zero_point", "R_scale", "R_zero_point")


@dataclass(frozen=True, eq=False)
class RecurrentNode:
    """Recurrent node of a graph as a layer, with the names of the values it reads and writes."""

    name: str
    scope: Scope
    position: int
    """Position of the node in its graph."""
    layer: Layer
    batch_first: bool
    """True if X is (B, T, I) instead of (T, B, I), `layout` 1."""
    notes: tuple[str, ...]

    @property
    def node(self) -> onnx.NodeProto:
        """Node as the file has it."""
        return self.scope.nodes[self.position]

    @property
    def inputs(self) -> dict[str, str]:
        """Names of the values it reads, by input of the operator; absent ones are left out."""
        return inputs_of(self.node)

    @property
    def outputs(self) -> list[str]:
        """Names of Y, Y_h and Y_c; empty where a model does not use them."""
        return [*self.node.output, "", "", ""][:3]

    @property
    def runtime_inputs(self) -> dict[str, str]:
        """Names of the values that are known only as a model runs, by input of the operator."""
        return {k: v for k, v in self.inputs.items() if k in ("X", "sequence_lens", "initial_h", "initial_c")}


@dataclass(frozen=True, eq=False)
class RefusedNode:
    """Recurrent node that cannot be simulated, and all reasons."""

    name: str
    scope: Scope
    position: int
    reasons: tuple[str, ...]

    @property
    def node(self) -> onnx.NodeProto:
        """Node as the file has it."""
        return self.scope.nodes[self.position]

    @property
    def message(self) -> str:
        """Reasons and the way out, as a part of an error message."""
        return f"{self.name} ({self.node.op_type}): {'; '.join(self.reasons)}"


def inputs_of(node: onnx.NodeProto) -> dict[str, str]:
    """Return the names of the values that a recurrent node reads, by input of its operator."""
    names = QUANTISED_INPUTS if node.op_type == "DynamicQuantizeLSTM" else INPUTS
    return {key: name for key, name in zip(names, node.input, strict=False) if name}


def recurrent_nodes(file: OnnxFile) -> list[RecurrentNode | RefusedNode]:
    """Return all recurrent nodes of a model, those in branches of `If` and bodies of loops included."""
    nodes: list[RecurrentNode | RefusedNode] = []
    for scope, position, loop in _walk(file.main, ""):
        node = scope.nodes[position]
        name = node.name or next(filter(None, node.output), node.op_type)
        same = sum(other.name.split("#")[0] == name for other in nodes)
        nodes.append(read_node(scope, position, f"{name}#{same + 1}" if same else name, loop))
    return nodes


def _walk(scope: Scope, loop: str) -> Iterator[tuple[Scope, int, str]]:
    """Yield graph and position of each recurrent node, and the loop that holds it, if any."""
    for position, node in enumerate(scope.nodes):
        if node.op_type in RECURRENT:
            yield scope, position, loop
        elif contains(node, RECURRENT):
            within = loop if node.op_type == "If" else f"{node.op_type} {node.name}".strip()
            for inner in scope.inner(position):
                yield from _walk(inner, within)


def read_node(scope: Scope, position: int, name: str, loop: str = "") -> RecurrentNode | RefusedNode:
    """Return a recurrent node as a layer, or with all reasons for which it cannot be one."""
    node = scope.nodes[position]
    reasons = [f"is inside {loop}, whose steps archsim does not follow"] if loop else []
    reasons += _unsupported(scope, node)
    if not reasons:
        try:
            layer, notes = _layer(scope, node, name)
        except NetworkError as error:
            reasons = [str(error)]
        else:
            batch_first = bool(attributes_of(node).get("layout", 0))
            return RecurrentNode(name, scope, position, layer, batch_first, tuple(notes))
    return RefusedNode(name, scope, position, tuple(reasons))


def _unsupported(scope: Scope, node: onnx.NodeProto) -> list[str]:
    """Return the reasons that operator, attributes and inputs of a node give to refuse it."""
    if node.op_type not in CELLS_OF:
        return [f"operator {node.op_type} is not simulated; accepted: {', '.join(CELLS_OF)}"]
    attributes, inputs = attributes_of(node), inputs_of(node)
    reasons = [
        f"{key} = {attributes[key]!r:.40}, need {kind.__name__}"
        for key, kind in KINDS.items()
        if not isinstance(attributes.get(key, kind()), kind)
    ]
    if reasons:
        return reasons
    direction = attributes.get("direction", "forward")
    if direction not in DIRECTIONS:
        reasons.append(f"direction = {direction!r}, accepted: {', '.join(DIRECTIONS)}")
    if attributes.get("layout", 0) not in (0, 1):
        reasons.append(f"layout = {attributes['layout']}, accepted: 0, 1")
    if "clip" in attributes:
        reasons.append(f"clip = {attributes['clip']:g} is not simulated, need none")
    if attributes.get("input_forget", 0):
        reasons.append("input_forget = 1 (coupled gates) is not simulated, need 0")
    try:
        cell_of(node.op_type, attributes, len(DIRECTIONS.get(direction, (False,))))
    except NetworkError as error:
        reasons.append(str(error))
    weights = [key for key in inputs if key not in ("X", "sequence_lens", "initial_h", "initial_c")]
    computed = [key for key in weights if inputs[key] not in scope.constants]
    reasons += [f"{key} = {inputs[key]!r} is computed from inputs of the model, need constant" for key in computed]
    reasons += [f"has no {key}" for key in ("X", "W", "R") if key not in inputs]
    return reasons


def _layer(scope: Scope, node: onnx.NodeProto, name: str) -> tuple[Layer, list[str]]:
    """Return the layer of a node without unsupported options, and notes on it; NetworkError for ill-shaped weights."""
    attributes, inputs = attributes_of(node), inputs_of(node)
    sides, notes = DIRECTIONS[attributes.get("direction", "forward")], []
    keys = [key for key in QUANTISED_INPUTS if key in inputs and inputs[key] in scope.constants]
    values = scope.evaluate([inputs[key] for key in keys])
    arrays = {key: values[inputs[key]] for key in keys}
    if node.op_type == "DynamicQuantizeLSTM":
        arrays |= {key: _dequantised(arrays, key, len(sides)) for key in ("W", "R")}
        notes.append("weights dequantised to float32; the runtime also quantises its inputs, which is not done here")
    has_peepholes = "P" in arrays and bool(arrays["P"].any())
    cell = cell_of(node.op_type, attributes, len(sides), has_peepholes=has_peepholes)
    directions = [_direction(name, cell, arrays, d, reverse, len(sides)) for d, reverse in enumerate(sides)]
    units, sizes = directions[0].weight_hh.shape[1], directions[0].weight_ih.shape[1]
    if attributes.get("hidden_size", units) != units:
        raise NetworkError(f"hidden_size = {attributes['hidden_size']}, but R is for {units} units")
    return Layer(name, cell, sizes, units, tuple(directions)), notes


def _direction(name: str, cell: Cell, arrays: dict[str, Array], d: int, reverse: bool, n_directions: int) -> Direction:
    """Return the weights of direction `d` from W (D, G·H, I), R (D, G·H, H), B (D, 2·G·H) and P (D, 3·H)."""
    for key, rank in (("W", 3), ("R", 3), ("B", 2), ("P", 2)):
        if key in arrays and (arrays[key].ndim != rank or arrays[key].shape[0] != n_directions):
            raise NetworkError(f"{key} has shape {arrays[key].shape}, need {rank} axes, the first {n_directions} long")
    order, W, R = GATE_ORDERS["onnx"], arrays["W"][d], arrays["R"][d]
    rows = cell.n_gates * R.shape[1]
    if W.shape[0] != rows or R.shape[0] != rows or not (W.size and R.size):
        raise NetworkError(f"W has shape {W.shape} and R {R.shape} per direction, need ({cell.n_gates}·H, I or H)")
    weights: dict[str, Any] = {"weight_ih": order.to_torch(cell, W), "weight_hh": order.to_torch(cell, R)}
    if "B" in arrays:
        bias = arrays["B"][d]
        if bias.shape != (2 * rows,):
            raise NetworkError(f"B has shape {arrays['B'].shape}, need ({n_directions}, {2 * rows})")
        weights["bias_ih"] = order.to_torch(cell, bias[:rows])
        weights["bias_hh"] = order.to_torch(cell, bias[rows:])
    if cell.peephole_gates:
        P, n_peepholes = arrays["P"][d], len(cell.peephole_gates) * R.shape[1]
        if P.shape != (n_peepholes,):
            raise NetworkError(f"P has shape {arrays['P'].shape}, need ({n_directions}, {n_peepholes})")
        weights["peepholes"] = order.peepholes_to_torch(cell, P)
    return make_direction(name, cell, weights, reverse=reverse)


def _dequantised(arrays: dict[str, Array], key: str, n_directions: int) -> Array:
    """Return quantised weights (D, I, G·H) as float32 numbers (D, G·H, I).

    Scales and zero points are one per direction (D,), or one per row (D, G·H).
    """
    codes, scale, zero = arrays[key], arrays.get(f"{key}_scale"), arrays.get(f"{key}_zero_point")
    if scale is None or codes.ndim != 3 or codes.shape[0] != n_directions:
        raise NetworkError(f"{key} of shape {codes.shape} with its scale, need (D, inputs, 4·H) codes and {key}_scale")
    zero = np.zeros(1, np.int32) if zero is None else zero
    shifted = codes.astype(np.float32) - _per_row(zero, n_directions).astype(np.float32)
    return np.ascontiguousarray((shifted * _per_row(scale, n_directions).astype(np.float32)).transpose(0, 2, 1))


def _per_row(values: Array, n_directions: int) -> Array:
    """Return scales or zero points with axes (D, 1, rows or 1), as codes are multiplied by them."""
    return values.reshape(n_directions if values.size >= n_directions else 1, 1, -1)
