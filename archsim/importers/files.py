"""Import of any file of weights or of a model as a network, by its suffix."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from archsim.errors import NetworkError
from archsim.importers.onnx_import import OnnxImport
from archsim.importers.weight_files import Imported, import_weights


def import_file(
    path: Path,
    *,
    prefixes: Sequence[str] = (),
    cell: str | None = None,
    gate_order: str | None = None,
    name: str | None = None,
) -> Imported:
    """Return the network of a file as `import_weights` does; NetworkError says why there is none.

    Of an `.onnx` file the recurrent nodes are taken; its prefix is the name of one of them.
    """
    if path.suffix == ".onnx":
        return _import_onnx(path, prefixes, cell, gate_order, name)
    return import_weights(path, prefixes=prefixes, cell=cell, gate_order=gate_order, name=name)


def _import_onnx(
    path: Path, prefixes: Sequence[str], cell: str | None, gate_order: str | None, name: str | None
) -> Imported:
    if gate_order not in (None, "onnx"):
        raise NetworkError(f"{path}: gate_order = {gate_order!r}: an ONNX operator has its own order: leave it out")
    if len(prefixes) > 1:
        raise NetworkError(f"{path}: {len(prefixes)} prefixes, need the name of one node; those it feeds come along")
    found = OnnxImport(path)
    stack = found.stack_named(prefixes[0] if prefixes else None)
    network = found.network(stack, name)
    others = [layer.name for layer in network.layers if cell not in (None, layer.cell.name)]
    if others:
        raise NetworkError(f"{path}: cell = {cell!r}, but {', '.join(others)} is none")
    return Imported(network, found.table(stack), "onnx")
