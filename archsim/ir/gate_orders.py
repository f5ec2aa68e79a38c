"""Orders and layouts in which frameworks keep the gates of a cell, and their conversion to torch's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from archsim.errors import NetworkError, did_you_mean
from archsim.ir.cells import Cell

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class GateOrder:
    """Order of the gates in a framework's arrays, and whether its kernels are transposed."""

    name: str
    orders: tuple[str, ...]
    """Gates of each kind of cell in this order, by torch's letters, so that orders can be compared."""
    transposed: bool = False
    """True if kernels are (I, G·H) and (H, G·H) instead of (G·H, I) and (G·H, H)."""
    pairs_end_to_end: bool = False
    """True if two biases of a direction may lie end to end, (2·G·H,)."""
    one_bias_resets_first: bool = False
    """True if a GRU with one bias per gate resets before its product with h."""

    def weights_shape(self, cell: Cell, columns: str) -> str:
        """Return the shape of a kernel with `columns` inputs in words, for messages."""
        rows = f"{cell.n_gates}·H"
        return f"({columns}, {rows})" if self.transposed else f"({rows}, {columns})"

    def rows(self, kernel: Array) -> Array:
        """Return a kernel with one row per neuron, (G·H, columns), gates still in this order."""
        return kernel.T if self.transposed else kernel

    def to_torch(self, cell: Cell, rows: Array) -> Array:
        """Return rows (G·H, ...) with their gates in torch's order."""
        return self._reordered(cell, cell.gates, rows)

    def peepholes_to_torch(self, cell: Cell, rows: Array) -> Array:
        """Return the peephole weights (3·H,) of a cell with their gates in torch's order."""
        return self._reordered(cell, cell.peephole_gates, rows)

    def _reordered(self, cell: Cell, wanted: tuple[str, ...], rows: Array) -> Array:
        """Return rows of the `wanted` gates, which lie in this order, in the order of `wanted`."""
        letters = next(letters for letters in self.orders if set(letters) == set(cell.gates))
        given = [gate for gate in letters if gate in wanted]
        blocks = rows.reshape(len(wanted), -1, *rows.shape[1:])
        return blocks[[given.index(gate) for gate in wanted]].reshape(rows.shape)


GATE_ORDERS = {
    order.name: order
    for order in (
        GateOrder("torch", ("ifgo", "rzn", "h")),
        # ONNX writes c for the candidate g of an LSTM, and h for the candidate n of a GRU: iofc, zrh.
        GateOrder("onnx", ("iofg", "zrn", "h"), pairs_end_to_end=True),
        # Keras writes c and h as well: ifco, zrh.
        GateOrder("keras", ("ifgo", "zrn", "h"), transposed=True, one_bias_resets_first=True),
    )
}


def gate_order_named(name: str, where: str) -> GateOrder:
    """Return a gate order by name; raise NetworkError with `where` and the alternatives."""
    if not isinstance(name, str) or name not in GATE_ORDERS:
        near = did_you_mean(name, GATE_ORDERS) if isinstance(name, str) else ""
        raise NetworkError(f"{where}: gate_order = {name!r}{near}; accepted: {', '.join(GATE_ORDERS)}")
    return GATE_ORDERS[name]
