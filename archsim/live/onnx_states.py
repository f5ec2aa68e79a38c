"""States that go out of an ONNX model as outputs and come in again as inputs, as in an export of one time step."""

from __future__ import annotations

from collections.abc import Sequence

from archsim.importers.onnx_graph import RECURRENT, Scope
from archsim.importers.onnx_nodes import RecurrentNode
from archsim.importers.onnx_stacks import MOVES

Origin = tuple[str, str, int]
"""Origin of a value that is only moved: (`input` or `scalar`, name, 0) or (`y`, `h` or `c`, graph, position)."""
ROLES = ("y", "h", "c")
"""Outputs of a recurrent node: all steps, and the states after the last one."""
WITH_SCALARS = ("Add", "Sub", "Mul")
"""Operators that leave a state what it is where their other operand is a scalar, as exports use to keep an input."""
STATE_INPUTS = {"initial_h": "h", "initial_c": "c"}


def carried_states(main: Scope, nodes: Sequence[RecurrentNode]) -> dict[str, str]:
    """Return the outputs of a model by the input that takes them in the next call, as far as nodes keep states so."""
    taken: dict[str, set[Origin]] = {}
    for node in nodes:
        for key, role in STATE_INPUTS.items():
            for kind, name, _ in origins(node.scope, node.inputs[key]) if key in node.inputs else ():
                if kind == "input":
                    taken.setdefault(name, set()).add((role, *_place(node.scope, node.position)))
    given = {value.name: origins(main, value.name) for value in main.graph.output}
    states = {name: found for name, found in given.items() if found and all(kind in "hc" for kind, *_ in found)}
    ranks = {value.name: len(value.type.tensor_type.shape.dim) for value in (*main.graph.input, *main.graph.output)}
    carried = {}
    for name, wanted in taken.items():
        fitting = [output for output, found in states.items() if wanted <= found]
        # Several outputs may give the same state in other shapes; the one with the input's axes goes back into it.
        fitting.sort(key=lambda output: ranks[output] != ranks[name])
        if fitting:
            carried[name] = fitting[0]
    return carried


def takes_carried(node: RecurrentNode, carried: dict[str, str]) -> bool:
    """Return whether a node's initial states come from inputs that take the states of the call before."""
    names = [node.inputs[key] for key in STATE_INPUTS if key in node.inputs]
    found = {origin for name in names for origin in origins(node.scope, name)}
    return bool(found) and all(kind == "input" and name in carried for kind, name, _ in found)


def origins(scope: Scope, name: str) -> set[Origin]:
    """Return where a value comes from through operators that only move values, in any branch; constants have none."""
    if name in scope.constants:
        return set()
    home = scope.home(name)
    if home is None:
        return {("scalar" if _is_scalar(scope, name) else "input", name, 0)}
    position = home.position[name]
    node = home.nodes[position]
    if node.op_type in RECURRENT:
        return {(ROLES[list(node.output).index(name)], *_place(home, position))}
    if node.op_type == "If":
        index = list(node.output).index(name)
        branches = [(inner, inner.graph.output[index].name) for inner in home.inner(position)]
        return set().union(*(origins(*branch) for branch in branches))
    if node.op_type in WITH_SCALARS:
        operands = [origins(home, part) for part in node.input]
        arrays = [found for found in operands if not all(kind == "scalar" for kind, *_ in found)]
        if len(arrays) < len(operands):
            return set().union(*(arrays or operands))
    if node.op_type not in MOVES:
        return {("computed", *_place(home, position))}
    moved = list(node.input) if node.op_type == "Concat" else list(node.input)[:1]
    return set().union(*(origins(home, part) for part in moved))


def _is_scalar(scope: Scope, name: str) -> bool:
    """Return whether an input of the model is declared as a single number."""
    shapes = [value.type.tensor_type for value in scope.file.model.graph.input if value.name == name]
    return bool(shapes) and shapes[0].HasField("shape") and not shapes[0].shape.dim


def _place(scope: Scope, position: int) -> tuple[str, int]:
    return str(id(scope)), position
