"""Import of any file of weights or of a model as a network, by its suffix."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from archsim.errors import NetworkError
from archsim.importers.weight_files import Imported, import_weights


def import_file(
    path: Path,
    *,
    prefixes: Sequence[str] = (),
    cell: str | None = None,
    gate_order: str | None = None,
    name: str | None = None,
) -> Imported:
    """Return the network of a file as `import_weights` does; NetworkError says why there is none."""
    if path.suffix == ".onnx":
        raise NetworkError(f"{path}: .onnx files cannot be imported yet; give its weights to Network.from_weights")
    return import_weights(path, prefixes=prefixes, cell=cell, gate_order=gate_order, name=name)
