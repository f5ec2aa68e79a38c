"""The recurrent cells: their gates and the dot products behind each gate (SEMANTICS 1.1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from archsim.errors import NetworkError, did_you_mean
from archsim.kernels.arrays import I64


@dataclass(frozen=True)
class Cell:
    """A cell: one neuron per gate and unit, and one or two dot products per neuron."""

    name: str
    gates: tuple[str, ...]
    """In torch's order."""
    gate_of_product: tuple[int, ...]
    """The gate each stored product belongs to: the GRU candidate keeps its two partial products apart."""
    multiplies: int
    """Multiplications of the cell update per unit, with `adds` and `exponentials` the work of the MU."""
    adds: int
    exponentials: int

    @property
    def n_gates(self) -> int:
        """G."""
        return len(self.gates)

    @property
    def n_products(self) -> int:
        """P, at least G."""
        return len(self.gate_of_product)

    @property
    def product_gates(self) -> I64:
        """`gate_of_product` as an array for kernels."""
        return np.array(self.gate_of_product, np.int64)


# Counts per unit. LSTM: biases 4, c 1; f·c, i·g, o·tanh(c); σ three times, tanh twice.
LSTM = Cell("lstm", ("i", "f", "g", "o"), (0, 1, 2, 3), multiplies=3, adds=5, exponentials=5)
# GRU: biases 4, candidate 1, 1-z and the sum 2; r·y_h, (1-z)·n, z·h; σ twice, tanh once.
GRU = Cell("gru", ("r", "z", "n"), (0, 1, 2, 2), multiplies=3, adds=7, exponentials=3)

CELLS = {cell.name: cell for cell in (LSTM, GRU)}


def is_lstm(cell: Cell) -> bool:
    """Return True for an LSTM, False for a GRU; NetworkError for any other cell, which nothing here computes.

    Cells are told apart by value: one that was pickled or copied is another object.
    """
    if cell == LSTM:
        return True
    if cell == GRU:
        return False
    raise NetworkError(f"cell {cell.name!r} is not supported; accepted: {', '.join(CELLS)}")


def cell_named(name: str, where: str = "") -> Cell:
    """Return the cell called `name`; NetworkError says where it stood and lists the alternatives."""
    if name not in CELLS:
        raise NetworkError(
            f"{where}cell {name!r} is not supported{did_you_mean(name, CELLS)}; accepted: {', '.join(CELLS)}"
        )
    return CELLS[name]
