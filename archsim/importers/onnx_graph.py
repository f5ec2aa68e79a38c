"""Graphs of an ONNX file with the graphs around them: who makes a value, which values are constant, parts as models.

Only protocol buffers are read; nothing of a file is executed but operators by ONNX Runtime.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from archsim.errors import NetworkError, TraceError
from archsim.reading import require_regular

if TYPE_CHECKING:
    import onnx

Array = np.ndarray[Any, Any]
RECURRENT = ("LSTM", "GRU", "RNN", "DynamicQuantizeLSTM", "AttnLSTM")
"""Operators that carry a state from step to step, whether they are simulated or refused."""
RANDOM = ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial")
"""Operators whose outputs differ from run to run."""
MIN_IR_VERSION = 4
"""Version of the format since which weights need not be listed among the inputs."""


def require_onnx() -> None:
    """Raise NetworkError with the extra to install unless onnx and ONNX Runtime are there."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise NetworkError(f"ONNX models need the package {error.name}: pip install 'archsim[onnx]'") from None


class OnnxFile:
    """Model of an ONNX file, local functions inlined; raises NetworkError with the path for one that cannot be read."""

    def __init__(self, path: str | Path) -> None:
        require_onnx()
        import onnx
        from google.protobuf.message import DecodeError
        from onnx import inliner

        if not isinstance(path, str | os.PathLike):
            raise NetworkError(
                f"model is a {type(path).__name__}: need the path of an ONNX file, as onnx.save writes it"
            )
        self.path = Path(path)
        require_regular(self.path, NetworkError, "an ONNX model")
        try:
            model = onnx.load(str(self.path))
            _check_graph(model.graph, frozenset())
            self.model = inliner.inline_local_functions(model) if model.functions else model
        except (DecodeError, OSError, ValueError, RuntimeError, onnx.checker.ValidationError) as error:
            raise NetworkError(f"{self.path}: not a readable ONNX model: {in_one_line(error)}") from None
        if not self.model.graph.node:
            raise NetworkError(f"{self.path}: not an ONNX model with operators, its graph is empty")
        self.main = Scope(self, self.model.graph, None)

    def sub_model(
        self,
        nodes: Iterable[onnx.NodeProto],
        initializers: Iterable[onnx.TensorProto],
        inputs: Mapping[str, Any],
        outputs: Iterable[str],
    ) -> bytes:
        """Return nodes as a model of their own. `inputs` are element types of its inputs by name."""
        import onnx
        from onnx import helper

        graph = onnx.GraphProto(name="part")
        graph.node.extend(nodes)
        graph.initializer.extend(initializers)
        graph.input.extend(helper.make_tensor_value_info(name, kind, None) for name, kind in inputs.items())
        graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
        model = onnx.ModelProto(graph=graph, ir_version=max(self.model.ir_version, MIN_IR_VERSION))
        model.opset_import.extend(self.model.opset_import)
        try:
            return bytes(model.SerializeToString())
        except (ValueError, RuntimeError) as error:  # of models beyond 2 GiB, which protocol buffers cannot hold
            raise NetworkError(f"{self.path}: a part of it cannot be made a model of its own: {error}") from None


def _check_graph(graph: onnx.GraphProto, outer: frozenset[str]) -> None:
    """Raise ValueError for a value that is read and that nothing makes, a name that is no text, a missing branch.

    The checker of onnx is not used, because it refuses models that run, such as those with outputs of no stated type.
    """
    names = [name for node in graph.node for name in node.output]
    names += [value.name for value in (*graph.input, *graph.initializer)]
    read = [name for node in graph.node for name in node.input if name] + [value.name for value in graph.output]
    if odd := [name for name in (*names, *read, *(node.name for node in graph.node)) if not isinstance(name, str)]:
        raise ValueError(f"name {odd[0]!r} is no text")
    known = outer.union(names)
    if unknown := [name for name in read if name not in known]:
        raise ValueError(f"value {unknown[0]!r} is read, but nothing makes it")
    for node in graph.node:
        if node.op_type == "If" and {"then_branch", "else_branch"} != {attribute.name for attribute in node.attribute}:
            raise ValueError(f"If {node.name!r} lacks one of its branches, then_branch and else_branch")
        for inner in subgraphs(node):
            _check_graph(inner, known)


class Scope:
    """Graph of a model, or of a branch, whose nodes may also read values of the graphs around it."""

    def __init__(self, file: OnnxFile, graph: onnx.GraphProto, outer: Scope | None) -> None:
        self.file = file
        self.graph = graph
        self.outer = outer
        self.depth: int = 0 if outer is None else outer.depth + 1
        self.nodes = list(graph.node)
        self.initializers = {tensor.name: tensor for tensor in graph.initializer}
        self.position = {name: i for i, node in enumerate(self.nodes) for name in node.output if name}
        """Position of the node that makes a value, by name of the value."""
        self._inner: dict[int, list[Scope]] = {}

    def inner(self, position: int) -> list[Scope]:
        """Return the graphs that the node at a position holds, the same objects each time."""
        if position not in self._inner:
            graphs = subgraphs(self.nodes[position])
            self._inner[position] = [Scope(self.file, graph, self) for graph in graphs]
        return self._inner[position]

    @cached_property
    def constants(self) -> set[str]:
        """Names of the values that are the same in every run, those of the graphs around it included."""
        known = set(self.initializers) | (self.outer.constants if self.outer else set())
        for node in self.nodes:
            if not contains(node, (*RECURRENT, *RANDOM)) and known.issuperset(reads(node)):
                known.update(filter(None, node.output))
        return known

    def home(self, name: str) -> Scope | None:
        """Return the graph whose weight or node a value is, None for an input of a graph."""
        scope: Scope | None = self
        while scope is not None and name not in scope.initializers and name not in scope.position:
            scope = scope.outer
        return scope

    def ancestors(self, names: Iterable[str], stop: Iterable[str] = ()) -> Ancestors:
        """Return the nodes that values are computed by, back to weights, inputs, and the values in `stop`."""
        return Ancestors(self, names, stop)

    def evaluate(self, names: Iterable[str], feeds: Mapping[str, Array] | None = None) -> dict[str, Array]:
        """Return values that depend on constants and on `feeds` only, computed by ONNX Runtime."""
        from onnx import helper, numpy_helper

        given, values = dict(feeds or {}), {}
        for name in names:
            home = self.home(name)
            if name in given:
                values[name] = given[name]
            elif home is not None and name in home.initializers:
                values[name] = numpy_helper.to_array(home.initializers[name])
        wanted = [name for name in dict.fromkeys(names) if name not in values]
        if wanted:
            needed = self.ancestors(wanted, given)
            types = {name: helper.np_dtype_to_tensor_dtype(array.dtype) for name, array in given.items()}
            model = self.file.sub_model(needed.nodes, needed.initializers, types, wanted)
            what = f"{self.file.path}: {', '.join(wanted)}"
            computed = run_session(open_session(model, what), wanted, given, what)
            values.update(zip(wanted, computed, strict=True))
        return values


class Ancestors:
    """Nodes and weights that values are computed from; nodes in an order in which they can run."""

    def __init__(self, scope: Scope, names: Iterable[str], stop: Iterable[str]) -> None:
        todo, seen = list(names), set(stop)
        found: dict[tuple[int, int], onnx.NodeProto] = {}
        self.initializers: list[onnx.TensorProto] = []
        self.inputs: set[str] = set()
        """Names of the inputs of graphs among them."""
        while todo:
            name = todo.pop()
            if name in seen:
                continue
            seen.add(name)
            home = scope.home(name)
            if home is None:
                self.inputs.add(name)
            elif name in home.initializers:
                self.initializers.append(home.initializers[name])
            else:
                position = home.position[name]
                found[home.depth, position] = home.nodes[position]
                todo += reads(home.nodes[position])
        self.nodes = [found[key] for key in sorted(found)]


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """Yield the graphs that a node holds: branches of `If`, bodies of loops."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def reads(node: onnx.NodeProto) -> list[str]:
    """Return the names of the values that a node reads, those of graphs around its own graphs included."""
    names = [name for name in node.input if name]
    for graph in subgraphs(node):
        names += free_names(graph)
    return names


def free_names(graph: onnx.GraphProto) -> list[str]:
    """Return the names of the values that a graph reads from the graphs around it."""
    made = {value.name for value in (*graph.input, *graph.initializer)}
    made.update(name for node in graph.node for name in node.output)
    wanted = [name for node in graph.node for name in reads(node)] + [value.name for value in graph.output]
    return [name for name in wanted if name not in made]


def contains(node: onnx.NodeProto, operators: Iterable[str]) -> bool:
    """Return whether a node is one of some operators, or holds a graph with one."""
    if node.op_type in operators:
        return True
    return any(contains(inner, operators) for graph in subgraphs(node) for inner in graph.node)


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """Return the attributes of a node by name, texts decoded."""
    from onnx import helper

    values = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    return {name: _text(value) for name, value in values.items()}


def _text(value: Any) -> Any:
    if isinstance(value, list):
        return [_text(part) for part in value]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def open_session(model: bytes | str, what: str) -> Any:
    """Return a session of ONNX Runtime on the CPU for a model or its path; NetworkError with `what` if it refuses."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what it would print is in the error that it raises
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # leave the cores to kernels between runs
    try:
        # Its fallback to the CPU, where it is already, prints.
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"], enable_fallback=0)
    except Exception as error:  # its errors have no common class but Exception
        raise NetworkError(f"{what}: ONNX Runtime does not run this: {in_one_line(error)}") from None


def run_session(session: Any, names: Sequence[str], feeds: Mapping[str, Array], what: str) -> list[Any]:
    """Return the values of some outputs; TraceError with `what` for feeds that the runtime cannot compute with."""
    try:
        return list(session.run(list(names), dict(feeds)))
    except Exception as error:  # its errors have no common class but Exception
        raise TraceError(f"{what}: ONNX Runtime: {in_one_line(error)}") from None


def in_one_line(error: Exception) -> str:
    """Return the message of another library's error in one line."""
    return " ".join(str(error).split())
