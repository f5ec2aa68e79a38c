"""Cells of recurrent ONNX operators, by their activation functions, peepholes and place of the reset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from archsim.errors import NetworkError
from archsim.ir.cells import CELLS, SIGMOID, Cell


class Activation(NamedTuple):
    """Activation function of an operator: its name in lower case, and its alpha and beta where it has some."""

    name: str
    parameters: tuple[float, ...] = ()

    def __str__(self) -> str:
        spelled = next((name for name in SPELLED if name.lower() == self.name), self.name)
        values = ", ".join(f"{key} {value:.6g}" for key, value in zip(("alpha", "beta"), self.parameters, strict=False))
        return f"{spelled} ({values})" if values else spelled


SPELLED = ("Sigmoid", "HardSigmoid", "Tanh", "Relu")
TANH, RELU = Activation("tanh"), Activation("relu")
HARD_DEFAULTS = (0.2, 0.5)
"""Defaults of alpha and beta of HardSigmoid, max(0, min(1, alpha·x + beta))."""


def _gate(cell: Cell) -> Activation:
    """Return the activation function of a cell's gates."""
    slope = cell.gate_activation.slope
    return Activation("sigmoid") if cell.gate_activation is SIGMOID else Activation("hardsigmoid", (slope, 0.5))


def _cells(*names: str) -> tuple[Cell, ...]:
    """Return cells by name, each with its variants of other gates."""
    return tuple(cell for name in names for cell in CELLS.values() if cell.kernel_id == CELLS[name].kernel_id)


CELLS_OF = {
    "LSTM": _cells("lstm", "lstm-peepholes"),
    "DynamicQuantizeLSTM": _cells("lstm", "lstm-peepholes"),
    "GRU": _cells("gru", "gru-reset-before"),
    "RNN": _cells("rnn", "rnn-relu"),
}
"""Cells that an operator computes, that of its defaults first."""


def activations_of(cell: Cell) -> tuple[Activation, ...]:
    """Return the activation functions of one direction of a cell, in the order of its operator."""
    if cell.n_gates == 1:
        return (RELU if cell.nonlinearity == "relu" else TANH,)
    return (_gate(cell), TANH, TANH)[: cell.n_gates - 1]  # LSTM f, g, h; GRU f, g


def cell_of(op: str, attributes: Mapping[str, Any], n_directions: int, *, has_peepholes: bool = False) -> Cell:
    """Return the cell of an operator; NetworkError that lists what is accepted for other activation functions."""
    resets_before = op == "GRU" and not attributes.get("linear_before_reset", 0)
    cells = [
        cell
        for cell in CELLS_OF[op]
        if bool(cell.peephole_gates) == has_peepholes and cell.resets_before == resets_before
    ]
    known = {activations_of(cell): cell for cell in cells}
    given = list(_activations(attributes)) or [*next(iter(known))] * n_directions
    for activations, cell in known.items():
        wanted = activations * n_directions
        if len(given) == len(wanted) and all(_equal(*pair) for pair in zip(given, wanted, strict=True)):
            return cell
    accepted = "; ".join(", ".join(map(str, activations)) for activations in known)
    per = " for each direction" if n_directions > 1 else ""
    raise NetworkError(f"activations = {', '.join(map(str, given))}, accepted{per}: {accepted}")


def _equal(one: Activation, other: Activation) -> bool:
    """Return whether two activation functions are the same to float32, in which a file has alpha and beta."""
    same = one.name == other.name and len(one.parameters) == len(other.parameters)
    return same and bool(np.allclose(one.parameters, other.parameters, rtol=1e-6, atol=0))


def _activations(attributes: Mapping[str, Any]) -> Iterator[Activation]:
    """Yield the activation functions of a node, each with its own alpha and beta, which follow in their order.

    Raises NetworkError for values of functions that have none.
    """
    lists = [list(attributes.get(key) or ()) for key in ("activation_alpha", "activation_beta")]
    for text in attributes.get("activations") or ():
        name = str(text).lower()
        if name == "hardsigmoid":
            values = [
                of_key.pop(0) if of_key else default for of_key, default in zip(lists, HARD_DEFAULTS, strict=True)
            ]
            yield Activation(name, tuple(map(float, values)))
        else:
            yield Activation(name)
    for key, left in zip(("activation_alpha", "activation_beta"), lists, strict=True):
        if left:
            raise NetworkError(f"{key} has {len(left)} values more than activations HardSigmoid, need one for each")
