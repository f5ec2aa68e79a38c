"""Import of ONNX models: the network of their recurrent nodes, and the table of what became of each node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from archsim.errors import NetworkError
from archsim.importers.onnx_cells import CELLS_OF
from archsim.importers.onnx_graph import RECURRENT, OnnxFile, contains, subgraphs
from archsim.importers.onnx_nodes import RecurrentNode, RefusedNode, recurrent_nodes
from archsim.importers.onnx_stacks import stacks_of, start_note
from archsim.importers.table import ImportRow, ImportTable, Outcome
from archsim.ir.network import Network

if TYPE_CHECKING:
    import onnx

WAY_OUT = "build the network with archsim.Network.from_weights, or import its weights with archsim import --prefix"
SIDES = {(False,): "forward", (True,): "reverse", (False, True): "bidirectional"}
MOST_OPERATORS = 6
"""Operators that a message about a model without recurrent ones names."""
LOOPS = ("Loop", "Scan")
PRODUCTS = ("MatMul", "Gemm", "MatMulInteger", "QLinearMatMul", "DynamicQuantizeMatMul", "Einsum")
"""Operators that multiply by weights, in which exporters write recurrent layers that they have no operator for."""


class OnnxImport:
    """Recurrent nodes of an ONNX file, in stacks, beside those that are refused.

    Raises NetworkError for a file that cannot be read, or without a recurrent operator.
    """

    def __init__(self, path: str | Path) -> None:
        self.file = OnnxFile(path)
        self.path = self.file.path
        self.nodes = recurrent_nodes(self.file)
        if not self.nodes:
            raise NetworkError(_nothing_recurrent(self.file))
        self.refused = [node for node in self.nodes if isinstance(node, RefusedNode)]
        self.stacks = stacks_of([node for node in self.nodes if isinstance(node, RecurrentNode)])

    def table(self, chosen: Sequence[RecurrentNode] | None = None) -> ImportTable:
        """Return the table of all nodes: a row per recurrent one, and one per other operator.

        chosen: the nodes that are simulated, by default all that can be.
        """
        below = {above.name: under.name for stack in self.stacks for under, above in pairwise(stack)}
        rows = [_row(node, below.get(node.name), chosen is None or node in chosen) for node in self.nodes]
        graph = self.file.model.graph
        others, loops = Counter(_other_operators(graph)), _loops_with_products(graph)
        rows += [
            ImportRow(f"{n} node{'s' * (n > 1)}", kind, "left outside", _loop_note(loops[kind]))
            for kind, n in others.items()
        ]
        return ImportTable(str(self.path), tuple(rows))

    def stack_named(self, layer: str | None) -> list[RecurrentNode]:
        """Return the stack that holds the node `layer`, or the only one there is; NetworkError that lists them."""
        names = [[node.name for node in stack] for stack in self.stacks]
        if layer is None and len(names) == 1 and not self.refused:
            return self.stacks[0]
        for stack, of_stack in zip(self.stacks, names, strict=True):
            if layer in of_stack:
                return stack
        chosen = [node for node in self.refused if node.name == layer] or self.refused
        refused = [f"refused: {node.message}" for node in chosen]
        if not names or chosen is not self.refused:
            raise NetworkError(f"{self.path}: {'; '.join(refused)}; {WAY_OUT}")
        problem = "several separate stacks" if layer is None else f"layer = {layer!r} is no recurrent node"
        stacks = [" -> ".join(of_stack) for of_stack in names]
        raise NetworkError(f"{self.path}: {problem}; accepted: layer=NAME, one of {'; '.join([*stacks, *refused])}")

    def network(self, stack: Sequence[RecurrentNode], name: str | None = None, *, with_states: bool = False) -> Network:
        """Return a stack as a network.

        with_states: whether the caller gives initial states. Without them, NetworkError for constant ones that are not
        zero, which a network does not hold.
        """
        starts = [] if with_states else [start_note(node) for node in stack]
        notes = [*(note for node in stack for note in node.notes), *filter(None, starts)]
        origin = f"ONNX {self.path.name}: {', '.join(node.name for node in stack)}"
        return Network(
            name=name or self.path.stem,
            layers=tuple(node.layer for node in stack),
            provenance="; ".join([origin, *dict.fromkeys(notes)]),
        )


def from_onnx(path: str | Path, layer: str | None = None, *, name: str | None = None) -> Network:
    """Return the network of the recurrent nodes (LSTM, GRU, RNN, DynamicQuantizeLSTM) of an ONNX model.

    Nodes that feed each other form one stack. layer: name of a node of the stack to take; without it, the only one
    there is. Weights computed from constants are folded, quantised ones dequantised, which `provenance` says.
    Raises NetworkError that lists the stacks where there are several, and for nodes that are refused, with all
    reasons (clip, coupled gates, other activations, ...); also for a model without a recurrent operator.
    """
    found = OnnxImport(path)
    return found.network(found.stack_named(layer), name)


def _row(node: RecurrentNode | RefusedNode, below: str | None, is_chosen: bool) -> ImportRow:
    if isinstance(node, RefusedNode):
        return ImportRow(node.name, node.node.op_type, "refused", "; ".join(node.reasons))
    layer = node.layer
    sides = SIDES[tuple(direction.reverse for direction in layer.directions)]
    notes = [f"{layer.cell.name}, {layer.input_size} inputs, {layer.hidden_size} units, {sides}"]
    notes += [f"fed by {below}"] if below else []
    try:
        notes += [*node.notes, start_note(node)]
    except NetworkError as error:
        notes.append(str(error))
    outcome: Outcome = "simulated here" if is_chosen else "left outside"
    return ImportRow(node.name, node.node.op_type, outcome, "; ".join(filter(None, notes)))


def _other_operators(graph: onnx.GraphProto) -> Iterator[str]:
    """Yield the operators of all nodes that are not recurrent, branches and loop bodies included."""
    for node in graph.node:
        if node.op_type not in RECURRENT:
            yield node.op_type
        for inner in subgraphs(node):
            yield from _other_operators(inner)


def _loops_with_products(graph: onnx.GraphProto) -> Counter[str]:
    """Return the number of loops that multiply by weights, by operator, branches and loop bodies included."""
    loops = Counter(node.op_type for node in graph.node if node.op_type in LOOPS and contains(node, PRODUCTS))
    for node in graph.node:
        for inner in subgraphs(node):
            loops += _loops_with_products(inner)
    return loops


def _loop_note(n_loops: int) -> str:
    """Return the note on loops with matrix products; empty where there are none."""
    written = "matrix products inside: a recurrent layer written as a loop is not simulated, nor in time and energy"
    return written if n_loops else ""


def _nothing_recurrent(file: OnnxFile) -> str:
    """Return the message for a model without a recurrent operator."""
    counts = Counter(_other_operators(file.model.graph))
    operators = ", ".join(f"{kind} x {n}" for kind, n in counts.most_common(MOST_OPERATORS))
    accepted = ", ".join(CELLS_OF)
    if loops := _loops_with_products(file.model.graph):
        form = f" (written as a {next(iter(loops))} with matrix products?): {WAY_OUT}"
    elif not counts.keys().isdisjoint(PRODUCTS):
        form = f" (unrolled into matrix products?): {WAY_OUT}"
    else:
        form = ", and no matrix product that one could be written as"
    return f"{file.path}: no recurrent operator ({accepted}) among {operators}, ...{form}"
