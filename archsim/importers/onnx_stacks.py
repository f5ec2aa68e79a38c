"""Stacks of recurrent ONNX nodes: nodes that feed each other with nothing between but changes of shape."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from archsim.errors import NetworkError, TraceError
from archsim.importers.onnx_graph import Array, Scope, attributes_of
from archsim.importers.onnx_nodes import RecurrentNode

if TYPE_CHECKING:
    import onnx

MOVES = (
    *("Identity", "Dropout", "Cast", "Squeeze", "Unsqueeze", "Flatten", "Transpose", "Reshape"),
    *("Shape", "Gather", "Slice", "Split", "Concat"),
)
"""Operators that only move values or compute with shapes; whether a chain of them joins directions is tried out."""
FIRST_INPUT_ONLY = ("Identity", "Cast", "Squeeze", "Unsqueeze", "Transpose", "Reshape", "Expand", "Tile", "Slice")
"""Operators whose output is zero if their first input is."""
PROBES = ((3, 2), (3, 1))
"""Steps and sequences of the values that a chain is tried out with; some exports allow one sequence only."""


def stacks_of(nodes: list[RecurrentNode]) -> list[list[RecurrentNode]]:
    """Return nodes in stacks, each node above the one that feeds it."""
    stacks: list[list[RecurrentNode]] = []
    for node in nodes:
        below = next((stack for stack in stacks if feeds(stack[-1], node)), None)
        if below is None:
            stacks.append([node])
        else:
            below.append(node)
    return stacks


def feeds(below: RecurrentNode, above: RecurrentNode) -> bool:
    """Return whether a node takes the outputs of another, directions joined, with nothing computed between."""
    scope, Y, X = above.scope, below.outputs[0], above.inputs["X"]
    same = scope is below.scope and below.inputs.get("sequence_lens") == above.inputs.get("sequence_lens")
    if not same or not Y or above.layer.input_size != below.layer.output_size:
        return False
    chain = scope.ancestors([X], stop=[Y])
    moved = [node for node in chain.nodes if not scope.constants.issuperset(node.output)]
    if chain.inputs or not moved or not all(node.op_type in MOVES for node in moved):
        return False
    return any(_joins_directions(below, above, *sizes) for sizes in PROBES)


def _joins_directions(below: RecurrentNode, above: RecurrentNode, T: int, B: int) -> bool:
    """Return whether numbered outputs of `below` arrive at `above` as h of all directions side by side."""
    D, H = len(below.layer.directions), below.layer.hidden_size
    numbers = np.arange(T * D * B * H, dtype=np.float32).reshape(T, D, B, H)
    Y, X = below.outputs[0], above.inputs["X"]
    try:
        arrived = above.scope.evaluate([X], {Y: as_output(numbers, batch_first=below.batch_first)})[X]
    except (NetworkError, TraceError):  # a chain for other sizes than these
        return False
    expected = numbers.transpose(0, 2, 1, 3).reshape(T, B, D * H)
    return np.array_equal(arrived, expected.swapaxes(0, 1) if above.batch_first else expected)


def as_output(outputs: Array, *, batch_first: bool) -> Array:
    """Return outputs (T, D, B, H) in the layout of Y: as they are, or (B, T, D, H)."""
    return np.ascontiguousarray(outputs.transpose(2, 0, 1, 3)) if batch_first else outputs


def start_note(node: RecurrentNode) -> str:
    """Return a note on the initial state of a node, empty if it is zero.

    Raises NetworkError for constant states other than zero, which no layer holds.
    """
    notes = []
    for key in ("initial_h", "initial_c"):
        name = node.inputs.get(key)
        if name is None or is_zero(node.scope, name):
            continue
        if name in node.scope.constants:
            raise NetworkError(
                f"{node.name}: {key} = {name!r} is constant and not zero, which a network does not hold: "
                "run the model with archsim.OnnxModel, or give the state with the trace"
            )
        notes.append(f"{key} is {name!r} of the model")
    return f"{', '.join(notes)}: a network begins in zeros unless the trace gives states" if notes else ""


def is_zero(scope: Scope, name: str) -> bool:
    """Return whether a value is all zeros in every run, whatever its shape."""
    if name in scope.constants:
        return not scope.evaluate([name])[name].any()
    home = scope.home(name)
    if home is None:
        return False
    node = home.nodes[home.position[name]]
    if node.op_type == "ConstantOfShape":
        return _fills_with_zero(node)
    inputs = list(node.input)[:1] if node.op_type in FIRST_INPUT_ONLY else list(node.input)
    return node.op_type in (*FIRST_INPUT_ONLY, "Concat") and all(is_zero(home, part) for part in inputs)


def _fills_with_zero(node: onnx.NodeProto) -> bool:
    from onnx import numpy_helper

    value = attributes_of(node).get("value")
    return value is None or not numpy_helper.to_array(value).any()
