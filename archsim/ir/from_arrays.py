"""Layers made of a user's arrays, in the gate order and layout of torch, ONNX or Keras."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from archsim.errors import NetworkError
from archsim.ir.cells import Cell, cell_named, with_reset_before
from archsim.ir.gate_orders import GATE_ORDERS, Array, GateOrder, gate_order_named
from archsim.ir.layers import Direction, Layer, make_direction

SIDES = ("forward", "reverse")


def layers_from_arrays(
    cell_name: str,
    weight_ih: Sequence[ArrayLike],
    weight_hh: Sequence[ArrayLike],
    bias: Sequence[Any] | None,
    *,
    peepholes: Sequence[ArrayLike] | None = None,
    proj: Sequence[ArrayLike] | None = None,
    gate_order: str,
    bidirectional: bool,
    where: str = "from_weights",
) -> tuple[Layer, ...]:
    """Return the layers of arrays, one per (layer, direction), as `Network.from_weights` takes them.

    Raises NetworkError, which begins with `where`.
    """
    cell, order = cell_named(cell_name, f"{where}: "), gate_order_named(gate_order, where)
    given = {"weight_ih": weight_ih, "weight_hh": weight_hh, "bias": bias, "peepholes": peepholes, "proj": proj}
    optional = [name for name in ("bias", "peepholes", "proj") if given[name] is None]
    lists = {name: _listed(where, name, arrays) for name, arrays in given.items() if name not in optional}
    count, n_sides = len(lists["weight_ih"]), 1 + bool(bidirectional)
    for name, entries in lists.items():
        if len(entries) != count:
            hint = "; two biases of one direction are a pair: bias=[(b_ih, b_hh)]" if name == "bias" else ""
            raise NetworkError(
                f"{where}: {name} has {len(entries)} arrays, weight_ih {count}: need one per (layer, direction){hint}"
            )
    if count == 0 or count % n_sides:
        turn = "forward, reverse of layer 0, then of layer 1, ..." if bidirectional else "layer 0, layer 1, ..."
        raise NetworkError(f"{where}: weight_ih has {count} arrays, need one per (layer, direction): {turn}")
    source = _Source(where, _cell_of_biases(where, cell, order, lists.get("bias", [])), order)
    layers: list[Layer] = []
    for first in range(0, count, n_sides):
        sides = [
            source.direction(index, n_sides, {name: entries[index] for name, entries in lists.items()})
            for index in range(first, first + n_sides)
        ]
        layers.append(_layer(source, layers, sides))
    return tuple(layers)


def _cell_of_biases(where: str, cell: Cell, order: GateOrder, biases: Sequence[Any]) -> Cell:
    """Return the cell that the biases are of: with one per gate, a Keras GRU resets before its product with h."""
    if "r" not in cell.gates or cell.resets_before or not order.one_bias_resets_first:
        return cell
    of_one = [_array(where, "bias", bias).ndim == 1 for bias in biases if bias is not None]
    if any(of_one) and not all(of_one):
        raise NetworkError(
            f"{where}: some biases have one row (reset_after=False) and some two (reset_after=True): need the same in "
            "all, or a network each"
        )
    return with_reset_before(cell) if any(of_one) else cell


@dataclass(frozen=True)
class _Source:
    """Cell and gate order of the arrays of a call, with the words that its messages begin with."""

    where: str
    cell: Cell
    order: GateOrder

    def direction(self, index: int, n_sides: int, arrays: dict[str, Any]) -> Direction:
        """Return the direction of one entry of each list, by name."""
        side = SIDES[index % n_sides]
        at = f"[{index}] (layer {index // n_sides}, {side})"
        proj = arrays.get("proj")
        n_rows = None if proj is None else self.cell.n_gates * self._units(f"proj{at}", proj)
        hidden = self._kernel(f"weight_hh{at}", arrays["weight_hh"], "H" if proj is None else "R", n_rows)
        weights: dict[str, ArrayLike | None] = {
            "weight_ih": self._kernel(f"weight_ih{at}", arrays["weight_ih"], "I", n_rows=len(hidden)),
            "weight_hh": hidden,
        }
        weights["bias_ih"], weights["bias_hh"] = self._biases(f"bias{at}", arrays.get("bias"), len(hidden))
        weights["weight_hr"] = proj
        if "peepholes" in arrays:
            weights["peepholes"] = self._peepholes(f"peepholes{at}", arrays["peepholes"])
        # Conversion and the check of values are those of every other source of weights.
        return make_direction(f"{self.where}: entry {at}", self.cell, weights, reverse=side == SIDES[1])

    def _kernel(self, name: str, given: ArrayLike, columns: str, n_rows: int | None = None) -> Array:
        """Return a kernel in torch's layout and order; `n_rows` is G·H where it is known."""
        array = _array(self.where, name, given)
        if not self._fits(self.order, array, columns, n_rows):
            need = self.order.weights_shape(self.cell, columns)
            if n_rows is not None:
                need += f" with H = {n_rows // self.cell.n_gates}"
            others = [order.name for order in GATE_ORDERS.values() if self._fits(order, array, columns, n_rows)]
            hint = f"; that shape suits gate_order {' or '.join(map(repr, others))}" if others else ""
            raise NetworkError(
                f"{self.where}: {name} has shape {array.shape}, a {self.cell.name} in the gate order of "
                f"{self.order.name} needs {need}{hint}"
            )
        return self.order.to_torch(self.cell, self.order.rows(array))

    def _units(self, name: str, proj: ArrayLike) -> int:
        """Return H, the inputs of a projection (R, H)."""
        array = _array(self.where, name, proj)
        if array.ndim != 2:
            raise NetworkError(f"{self.where}: {name} has shape {array.shape}, need (R, H)")
        return int(array.shape[1])

    def _fits(self, order: GateOrder, array: Array, columns: str, n_rows: int | None) -> bool:
        if array.ndim != 2 or 0 in array.shape:
            return False
        rows, width = order.rows(array).shape
        return bool(rows == (self.cell.n_gates * width if columns == "H" else n_rows))

    def _biases(self, name: str, given: Any, n_rows: int) -> tuple[Array | None, Array | None]:
        """Return both biases in torch's order, None for one that is not there."""
        if given is None:
            return None, None
        array = _array(self.where, name, given)
        if self.order.pairs_end_to_end and array.shape == (2 * n_rows,):
            array = array.reshape(2, n_rows)
        if array.shape == (2, n_rows):
            return self.order.to_torch(self.cell, array[0]), self.order.to_torch(self.cell, array[1])
        if array.shape != (n_rows,):
            longer = f", ({2 * n_rows},)" if self.order.pairs_end_to_end else ""
            raise NetworkError(
                f"{self.where}: {name} has shape {array.shape}, need ({n_rows},), a pair of them (2, {n_rows}){longer} "
                "or None"
            )
        return self.order.to_torch(self.cell, array), None

    def _peepholes(self, name: str, given: ArrayLike) -> Array:
        """Return peephole weights in torch's order; their shape is checked with the direction."""
        array, gates = _array(self.where, name, given), self.cell.peephole_gates
        fits = bool(gates) and array.ndim == 1 and array.size % len(gates) == 0
        return self.order.peepholes_to_torch(self.cell, array) if fits else array


def _layer(source: _Source, below: list[Layer], directions: list[Direction]) -> Layer:
    """Return the next layer; raise NetworkError unless its directions are of one size and fit the layer below."""
    index = len(below)
    n_gates = source.cell.n_gates
    shapes = [(d.weight_ih.shape[1], d.weight_hh.shape[0] // n_gates) for d in directions]
    if len(set(shapes)) > 1:
        sizes = " and ".join(map(str, shapes))
        raise NetworkError(f"{source.where}: directions of layer {index} have (inputs, units) {sizes}: need the same")
    outputs = {None if d.weight_hr is None else len(d.weight_hr) for d in directions}
    if len(outputs) > 1:
        raise NetworkError(f"{source.where}: directions of layer {index} differ in their projections: need the same")
    (inputs, units), projected = shapes[0], outputs.pop() or 0
    if below and inputs != below[-1].output_size:
        raise NetworkError(
            f"{source.where}: layer {index} takes {inputs} inputs, layer {index - 1} gives {below[-1].output_size}"
        )
    return Layer(f"l{index}", source.cell, inputs, units, tuple(directions), projected)


def _listed(where: str, name: str, arrays: Any) -> list[Any]:
    """Return the entries of a list of arrays, or of one array with an axis more."""
    if isinstance(arrays, str | dict) or not hasattr(arrays, "__len__") or getattr(arrays, "ndim", 1) == 0:
        got = type(arrays).__name__
        raise NetworkError(f"{where}: {name} is a {got}, need a list of numpy arrays, one per (layer, direction)")
    if name != "bias" and getattr(arrays, "ndim", 3) == 2:
        shape = tuple(arrays.shape)
        raise NetworkError(f"{where}: {name} is one array of shape {shape}, need a list, one per (layer, direction)")
    return list(arrays)


def _array(where: str, name: str, given: Any) -> Array:
    try:
        return np.asarray(given)
    except (ValueError, TypeError, RuntimeError) as error:  # of lists of unequal lengths, or tensors on a device
        raise NetworkError(f"{where}: {name} is no array of numbers: {error}") from None
