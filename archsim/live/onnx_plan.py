"""Order of work of an ONNX graph: stages of segments for ONNX Runtime, then recurrent parts and branches with some.

Values that constants are computed to take no part: each segment holds those that it reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from archsim.errors import NetworkError
from archsim.importers.onnx_graph import Array, Scope, open_session, reads, run_session
from archsim.importers.onnx_nodes import RecurrentNode

if TYPE_CHECKING:
    import onnx

BRANCHES = ("then_branch", "else_branch")


Compute = Callable[["OnnxPart", Mapping[str, Array]], dict[str, Array]]
"""Function that returns the outputs of all nodes of a part by name, from the values that they read."""


@dataclass(frozen=True, eq=False)
class OnnxPart:
    """Recurrent nodes that feed each other, computed as one network."""

    nodes: tuple[RecurrentNode, ...]

    @property
    def scope(self) -> Scope:
        """Graph of the nodes."""
        return self.nodes[0].scope

    @property
    def name(self) -> str:
        """Names of its nodes, in order."""
        return " -> ".join(node.name for node in self.nodes)


def parts_of(stacks: Iterable[Sequence[RecurrentNode]]) -> list[OnnxPart]:
    """Return stacks as parts, cut where other nodes use what goes from one recurrent node to the next."""
    parts = []
    for stack in stacks:
        groups = [[stack[0]]]
        for below, above in pairwise(stack):
            if _is_used_elsewhere(below, above) or _starts_late(groups[-1], above):
                groups.append([])
            groups[-1].append(above)
        parts += [OnnxPart(tuple(group)) for group in groups]
    return parts


def _is_used_elsewhere(below: RecurrentNode, above: RecurrentNode) -> bool:
    """Return whether anything but `above` takes the outputs of `below`, or its outputs with their shape changed."""
    scope, Y = below.scope, below.outputs[0]
    chain = [n for n in scope.ancestors([above.inputs["X"]], [Y]).nodes if not scope.constants.issuperset(n.output)]
    values = {Y, *(name for node in chain for name in node.output)}
    inside = [above.node, *chain]
    readers = [node for node in scope.nodes if not values.isdisjoint(reads(node))]
    outputs = {value.name for value in scope.graph.output}
    return bool(values & outputs) or any(not any(node is other for other in inside) for node in readers)


def _starts_late(group: Sequence[RecurrentNode], above: RecurrentNode) -> bool:
    """Return whether the initial state of `above` is computed from the nodes below it, which must then run before."""
    names = [name for key, name in above.runtime_inputs.items() if key != "X"]
    before = above.scope.ancestors(names).nodes
    return any(node is one.node for node in before for one in group)


class Values:
    """Values of a graph by name as far as they are computed, with those of the graphs around it."""

    def __init__(self, scope: Scope, known: Mapping[str, Array], compute: Compute, outer: Values | None = None) -> None:
        self.scope = scope
        self.known = dict(known)
        self.compute = compute
        self.outer = outer

    def __getitem__(self, name: str) -> Array:
        if name in self.known:
            return self.known[name]
        if name in self.scope.constants:
            self.known[name] = self.scope.evaluate([name])[name]
            return self.known[name]
        if self.outer is None:
            raise NetworkError(f"{self.scope.file.path}: value {name!r} is read before anything computes it")
        return self.outer[name]


class Item(Protocol):
    """Work that is done as a whole."""

    reads: set[str]
    """Names of the values it needs that are not constant."""
    writes: set[str]

    def run(self, values: Values) -> None:
        """Compute what it writes, and add it to the values."""


@dataclass(eq=False)
class Segment:
    """Ordinary nodes of one stage, which ONNX Runtime runs as one model."""

    scope: Scope
    nodes: list[onnx.NodeProto]
    reads: set[str]
    writes: set[str]
    sessions: dict[tuple[Any, ...], Any] = field(default_factory=dict)
    """Sessions by the types of the inputs; there is one unless a caller changes types."""

    def run(self, values: Values) -> None:
        """Run the nodes on the values that they read."""
        feeds = {name: values[name] for name in sorted(self.reads)}
        key = tuple(array.dtype for array in feeds.values())
        if key not in self.sessions:
            self.sessions[key] = self._open(feeds)
        names = sorted(self.writes)
        computed = run_session(self.sessions[key], names, feeds, str(self.scope.file.path))
        for name, value in zip(names, computed, strict=True):
            if not isinstance(value, np.ndarray):
                raise NetworkError(f"{self.scope.file.path}: {name!r} is no tensor, which cannot cross recurrent nodes")
            values.known[name] = value

    def _open(self, feeds: Mapping[str, Array]) -> Any:
        from onnx import helper

        scope, made = self.scope, {name for node in self.nodes for name in node.output}
        constants = scope.ancestors(
            [name for node in self.nodes for name in reads(node) if name in scope.constants and name not in made]
        )
        types = {name: helper.np_dtype_to_tensor_dtype(array.dtype) for name, array in feeds.items()}
        nodes = [*constants.nodes, *self.nodes]
        model = scope.file.sub_model(nodes, constants.initializers, types, sorted(self.writes))
        return open_session(model, f"{scope.file.path}: nodes that give {', '.join(sorted(self.writes))}")


@dataclass(eq=False)
class Choice:
    """An `If` with recurrent nodes in its branches: its condition decides whose plan runs."""

    scope: Scope
    node: onnx.NodeProto
    plans: tuple[Plan, Plan]
    """Plans of the branches for true and false."""

    def __post_init__(self) -> None:
        inner = self.plans[0].needs | self.plans[1].needs | {self.node.input[0]}
        self.reads = inner - self.scope.constants
        self.writes = set(filter(None, self.node.output))

    def run(self, values: Values) -> None:
        """Run the branch that the condition chooses."""
        condition = values[self.node.input[0]]
        plan = self.plans[0 if condition.reshape(-1)[0] else 1]
        results = plan.run({}, values.compute, values)
        values.known.update(zip(self.node.output, results, strict=True))


@dataclass(eq=False)
class Recurrence:
    """Recurrent part as an item."""

    part: OnnxPart

    def __post_init__(self) -> None:
        inputs = [node.runtime_inputs for node in self.part.nodes]
        chained = {of_node["X"] for of_node in inputs[1:]}
        self.names = {name for of_node in inputs for name in of_node.values()} - chained
        self.reads = self.names - self.part.scope.constants
        self.writes = {name for node in self.part.nodes for name in node.outputs if name}
        self.writes -= {node.outputs[0] for node in self.part.nodes[:-1]}

    def run(self, values: Values) -> None:
        """Compute the part."""
        values.known.update(values.compute(self.part, {name: values[name] for name in self.names}))


class Plan:
    """Items of a graph in an order in which they can run.

    parts: recurrent parts of the model, of which those of this graph and of the graphs in it matter here.
    """

    def __init__(self, scope: Scope, parts: Sequence[OnnxPart]) -> None:
        self.scope = scope
        self.outputs = [value.name for value in scope.graph.output]
        special = _special_items(scope, parts)
        taken = {node.position for part in parts for node in part.nodes if part.scope is scope}
        ordinary = [
            _Node(node, set(reads(node)) - scope.constants, set(filter(None, node.output)))
            for position, node in enumerate(scope.nodes)
            if position not in taken | special.keys() and not scope.constants.issuperset(filter(None, node.output))
        ]
        recurrences = [Recurrence(part) for part in parts if part.scope is scope]
        items: list[Any] = _needed([*ordinary, *recurrences, *special.values()], self.outputs)
        self.items = _staged(scope, items, self.outputs)
        made = {name for item in self.items for name in item.writes}
        read = {name for item in self.items for name in item.reads} | (set(self.outputs) - scope.constants)
        self.needs: set[str] = read - made
        """Names of the values that it reads from inputs or the graphs around it."""

    def run(self, known: Mapping[str, Array], compute: Compute, outer: Values | None = None) -> list[Array]:
        """Run all items; return the outputs of the graph."""
        values = Values(self.scope, known, compute, outer)
        for item in self.items:
            item.run(values)
        return [values[name] for name in self.outputs]


@dataclass(eq=False)
class _Node:
    """Ordinary node before it is part of a segment."""

    node: onnx.NodeProto
    reads: set[str]
    writes: set[str]


def _special_items(scope: Scope, parts: Sequence[OnnxPart]) -> dict[int, Choice]:
    """Return the items of the nodes that hold recurrent parts, by position."""
    found = {}
    for position, node in enumerate(scope.nodes):
        inner = scope.inner(position) if node.op_type == "If" else []
        if any(_lies_in(part, graph) for part in parts for graph in inner):
            by_name = dict(zip((attribute.name for attribute in node.attribute), inner, strict=True))
            yes, no = (Plan(by_name[name], parts) for name in BRANCHES)
            found[position] = Choice(scope, node, (yes, no))
    return found


def _lies_in(part: OnnxPart, scope: Scope) -> bool:
    """Return whether a part is in a graph or in one of the graphs inside it."""
    home: Scope | None = part.scope
    while home is not None and home is not scope:
        home = home.outer
    return home is scope


def _needed(items: Sequence[Any], outputs: Iterable[str]) -> list[Any]:
    """Return the items that the outputs depend on, in their order."""
    maker = {name: index for index, item in enumerate(items) for name in item.writes}
    todo, kept = [maker[name] for name in outputs if name in maker], set()
    while todo:
        index = todo.pop()
        if index not in kept:
            kept.add(index)
            todo += [maker[name] for name in items[index].reads if name in maker]
    return [items[index] for index in sorted(kept)]


def _staged(scope: Scope, items: Sequence[Any], outputs: Iterable[str]) -> list[Item]:
    """Return items in an order in which they can run, ordinary nodes joined to as few segments as possible."""
    stages = _stages(items)
    ordered: list[Item] = []
    for stage in range(max(stages, default=-1) + 1):
        here = [item for item, of_item in zip(items, stages, strict=True) if of_item == stage]
        nodes = [item for item in here if isinstance(item, _Node)]
        made = {name for item in nodes for name in item.writes}
        inside = {id(item) for item in nodes}
        read_later = {name for item in items if id(item) not in inside for name in item.reads} | set(outputs)
        if nodes:
            read = {name for item in nodes for name in item.reads} - made
            ordered.append(Segment(scope, [item.node for item in nodes], read, made & read_later))
        ordered += [item for item in here if not isinstance(item, _Node)]
    return ordered


def _stages(items: Sequence[Any]) -> list[int]:
    """Return the stage of each item: how many recurrent parts or branches come before it, one after the other."""
    maker = {name: index for index, item in enumerate(items) for name in item.writes}
    sources = [{maker[name] for name in item.reads if name in maker} for item in items]
    waits = [0 if isinstance(item, _Node) else 1 for item in items]
    stages, changed = [0] * len(items), True
    while changed:
        changed = False
        for index, before in enumerate(sources):
            stage = max((stages[i] + waits[i] for i in before), default=0)
            if stage > len(items):
                raise NetworkError("the nodes of the graph depend on each other in a circle")
            changed |= stage > stages[index]
            stages[index] = max(stage, stages[index])
    return stages
