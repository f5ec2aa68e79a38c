"""Import of files of weights as networks: what is recurrent is found by name, the rest is left out and listed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from archsim.errors import NetworkError
from archsim.importers.table import ImportRow, ImportTable
from archsim.importers.tensor_files import StoredTensor, Tensors, read_tensors
from archsim.importers.tensor_groups import TensorGroup, choose_groups, find_groups, require_groups
from archsim.ir.cells import Cell, cell_named
from archsim.ir.from_arrays import layers_from_arrays
from archsim.ir.gate_orders import Array, gate_order_named
from archsim.ir.layers import Layer
from archsim.ir.network import Network


@dataclass(frozen=True)
class Imported:
    """Network of a file, with the table that says what became of everything in it."""

    network: Network
    table: ImportTable
    gate_order: str
    """Gate order in which the file was read."""


def import_weights(
    path: str | Path,
    *,
    prefixes: Sequence[str] = (),
    cell: str | None = None,
    gate_order: str | None = None,
    name: str | None = None,
) -> Imported:
    """Return the network of a `.safetensors`, `.npz` or `.pt` file of weights, a whole model's file included.

    prefixes: names before those of the recurrent tensors; several are stacked in this order. Needed where there are
    several recurrent parts. cell: name of the cell where shapes do not say it, as `rnn-relu` or `gru-reset-before`; by
    default `lstm`, `gru` or `rnn` by the number of gates. gate_order: by default that of the framework whose names the
    tensors have. Raises NetworkError, which lists what there is.
    """
    path = Path(path)
    if cell is not None:
        cell_named(cell, f"{path}: ")
    if gate_order is not None:
        gate_order_named(gate_order, str(path))
    tensors = read_tensors(path)
    groups = find_groups(tensors)
    chosen = choose_groups(str(path), groups, prefixes, tensors)
    layers: list[Layer] = []
    for group in chosen:
        found = _layers(f"{path}: {group.name}", group, cell, gate_order)
        layers += [replace(layer, name=f"l{len(layers) + i}") for i, layer in enumerate(found)]
    orders = sorted({gate_order or group.gate_order for group in chosen})
    parts = ", ".join(group.name for group in chosen)
    network = Network(
        name=name or path.stem,
        layers=tuple(layers),
        provenance=f"{path.name}: {parts}, in the gate order of {' and '.join(orders)}",
    )
    return Imported(network, _table(path, tensors, groups, chosen), orders[0])


def weights_table(path: str | Path) -> ImportTable:
    """Return what of a file of weights can be simulated; NetworkError if it holds no recurrent weights."""
    path = Path(path)
    tensors = read_tensors(path)
    groups = find_groups(tensors)
    require_groups(str(path), groups, tensors)
    return _table(path, tensors, groups, [group for group in groups if not group.refusal])


def layers_of_state(where: str, cell: Cell, arrays: Mapping[str, Array]) -> tuple[Layer, ...]:
    """Return the layers of one recurrent torch module's state dict, a cell's; NetworkError begins with `where`."""
    tensors = {name: StoredTensor(array.shape, partial(np.asarray, array)) for name, array in arrays.items()}
    (group,) = choose_groups(where, find_groups(tensors), (), tensors)
    return _layers(where, group, cell.name, None)


def _layers(where: str, group: TensorGroup, cell: str | None, gate_order: str | None) -> tuple[Layer, ...]:
    if cell is not None:
        group.take_as(where, cell)
    parts = [group.parts[layer, side] for layer in range(group.depth) for side in range(1 + group.bidirectional)]
    return layers_from_arrays(
        group.cell,
        [part["weight_ih"].read() for part in parts],
        [part["weight_hh"].read() for part in parts],
        [_bias(where, part) for part in parts],
        peepholes=[part["peepholes"].read() for part in parts] if group.has_peepholes else None,
        proj=[part["weight_hr"].read() for part in parts] if group.has_projection else None,
        gate_order=gate_order or group.gate_order,
        bidirectional=group.bidirectional,
        where=where,
    )


def _bias(where: str, part: dict[str, Any]) -> Array | tuple[Array, Array] | None:
    """Return the biases of a direction; NetworkError if one of a pair is missing."""
    if "bias" in part:
        bias: Array = part["bias"].read()
        return bias
    found = [role for role in ("bias_ih", "bias_hh") if role in part]
    if len(found) == 1:
        raise NetworkError(f"{where} has {found[0]} without its partner: need bias_ih and bias_hh, or neither")
    return (part["bias_ih"].read(), part["bias_hh"].read()) if found else None


def _table(path: Path, tensors: Tensors, groups: list[TensorGroup], chosen: list[TensorGroup]) -> ImportTable:
    """Return a row per recurrent group and per module of the other tensors."""
    rows = [_row(group, chosen) for group in groups]
    recurrent = {name for group in groups for name in group.names}
    modules: dict[str, list[str]] = {}
    for name, tensor in tensors.items():
        if name not in recurrent:
            module, _, own = name.replace("/", ".").rpartition(".")
            modules.setdefault(module or own, []).append(f"{own} {tensor.shape}")
    rows += [ImportRow(module, "tensors", "left outside", ", ".join(notes)) for module, notes in modules.items()]
    return ImportTable(path.name, tuple(rows))


def _row(group: TensorGroup, chosen: list[TensorGroup]) -> ImportRow:
    if group.refusal:
        return ImportRow(group.name, "recurrent", "refused", group.refusal)
    if group in chosen:
        return ImportRow(group.name, group.cell.upper(), "simulated here", group.summary)
    return ImportRow(group.name, group.cell.upper(), "left outside", f"{group.summary}; take it by its prefix")
