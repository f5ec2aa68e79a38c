"""Recurrent cells, with their gates, the dot products of each gate, and the kernel that updates them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from archsim.errors import NetworkError, did_you_mean
from archsim.kernels.arrays import I64
from archsim.kernels.numerics.cells import (
    GRU_KERNEL,
    GRU_RESET_BEFORE_KERNEL,
    LSTM_KERNEL,
    LSTM_PEEPHOLES_KERNEL,
    RNN_KERNEL,
    RNN_RELU_KERNEL,
)


@dataclass(frozen=True)
class GateActivation:
    """Activation function of gates, from 0 to 1."""

    name: str
    slope: float = 0.0
    """Slope of max(0, min(1, slope·x + 1/2)); 0 for the logistic function."""


SIGMOID = GateActivation("sigmoid")
HARD_SIGMOIDS = (
    GateActivation("hard-sigmoid-fifth", 1 / 5),  # ONNX's default, Keras 1 and 2
    GateActivation("hard-sigmoid-sixth", 1 / 6),  # torch's hardsigmoid, Keras 3
)
CANDIDATES = ("g", "n", "h")
"""Gates that are new values of the state, by tanh or ReLU, and not shares from 0 to 1."""


@dataclass(frozen=True)
class Cell:
    """Recurrent cell (SEMANTICS 1.1), with one neuron per gate and unit, and one or two dot products per neuron."""

    name: str
    kernel_id: int
    """Id of the kernel in `archsim.kernels.numerics.cells` that advances the state by one step."""
    torch_class: str
    """Name of the module in `torch.nn` that computes the same; empty if there is none."""
    gates: tuple[str, ...]
    """Names of the gates in torch's order."""
    gate_of_product: tuple[int, ...]
    """Gate of each stored product. A gate named twice keeps its products with x and with h apart, in this order."""
    multiplies: int
    """Multiplications of the cell update per unit; with `adds` and `exponentials` the work of the MU."""
    adds: int
    exponentials: int
    gate_activation: GateActivation = SIGMOID
    peephole_gates: tuple[str, ...] = ()
    """Gates that look at c through weights of their own, in torch's order."""
    nonlinearity: str = ""
    """Option `nonlinearity` of the torch module; empty if the module has none."""
    is_bounded: bool = True
    """Whether h stays within -1 and 1, whatever the weights."""
    may_project: bool = False
    """Whether a projection may make h of the hidden units' values."""
    resets_before: bool = False
    """Whether the first gate multiplies h before the last gate's product with it, so that the last gate waits."""

    def __repr__(self) -> str:
        return f"Cell({self.name!r})"

    @property
    def n_gates(self) -> int:
        """G, the number of gates."""
        return len(self.gates)

    @property
    def n_products(self) -> int:
        """P, the number of stored products per unit, at least G."""
        return len(self.gate_of_product)

    @property
    def products_per_gate(self) -> list[int]:
        """Stored products of each gate per unit: two for a gate that keeps those with x and with h apart."""
        return [self.gate_of_product.count(gate) for gate in range(self.n_gates)]

    @property
    def gate_groups(self) -> tuple[slice, ...]:
        """Gates that are decided together, in order: all of them, or all but the last and then the last."""
        return (
            (slice(0, self.n_gates - 1), slice(self.n_gates - 1, self.n_gates))
            if self.resets_before
            else (slice(0, self.n_gates),)
        )

    @property
    def product_gates(self) -> I64:
        """`gate_of_product` as an array for kernels."""
        return np.array(self.gate_of_product, np.int64)

    @property
    def torch_options(self) -> dict[str, str]:
        """Options of the torch module that choose this cell."""
        return {"nonlinearity": self.nonlinearity} if self.nonlinearity else {}


def with_gate_activation(cell: Cell, activation: GateActivation) -> Cell:
    """Return a cell of logistic gates with their activation functions replaced by hard ones.

    Each multiplies by the slope, adds 1/2 and compares with 0 and 1. A comparison counts as an addition.
    """
    n = sum(gate not in CANDIDATES for gate in cell.gates)
    return replace(
        cell,
        name=f"{cell.name}-{activation.name}",
        torch_class="",
        multiplies=cell.multiplies + n,
        adds=cell.adds + 3 * n,
        exponentials=cell.exponentials - n,
        gate_activation=activation,
    )


LSTM = Cell(
    name="lstm",
    kernel_id=LSTM_KERNEL,
    torch_class="LSTM",
    gates=("i", "f", "g", "o"),
    gate_of_product=(0, 1, 2, 3),
    multiplies=3,  # f·c, i·g, o·tanh(c)
    adds=5,  # biases 4, c 1
    exponentials=5,  # σ three times, tanh twice
    may_project=True,
)
LSTM_PEEPHOLES = replace(
    LSTM,
    name="lstm-peepholes",
    kernel_id=LSTM_PEEPHOLES_KERNEL,
    torch_class="",
    peephole_gates=("i", "f", "o"),
    multiplies=LSTM.multiplies + 3,  # p_i·c, p_f·c, p_o·c
    adds=LSTM.adds + 3,
)
GRU = Cell(
    name="gru",
    kernel_id=GRU_KERNEL,
    torch_class="GRU",
    gates=("r", "z", "n"),
    gate_of_product=(0, 1, 2, 2),
    multiplies=3,  # r·y_h, (1-z)·n, z·h
    adds=7,  # biases 4, candidate 1, 1-z and the sum 2
    exponentials=3,  # σ twice, tanh once
)
GRU_RESET_BEFORE = replace(
    GRU,
    name="gru-reset-before",
    kernel_id=GRU_RESET_BEFORE_KERNEL,
    torch_class="",
    gate_of_product=(0, 1, 2),
    multiplies=3,  # r·h, (1-z)·n, z·h
    adds=5,  # biases 3, 1-z and the sum 2
    resets_before=True,
)
RNN = Cell(
    name="rnn",
    kernel_id=RNN_KERNEL,
    torch_class="RNN",
    gates=("h",),
    gate_of_product=(0,),
    multiplies=0,
    adds=1,  # bias
    exponentials=1,  # tanh
    nonlinearity="tanh",
)
RNN_RELU = replace(
    RNN,
    name="rnn-relu",
    kernel_id=RNN_RELU_KERNEL,
    adds=2,  # bias, and a comparison with 0
    exponentials=0,
    nonlinearity="relu",
    is_bounded=False,
)

GATED = (LSTM, LSTM_PEEPHOLES, GRU, GRU_RESET_BEFORE)
"""Cells with gates from 0 to 1, each of which may have a hard activation function instead of the logistic one."""
HARD = tuple(with_gate_activation(cell, hard) for cell in GATED for hard in HARD_SIGMOIDS)
CELLS = {cell.name: cell for cell in (LSTM, GRU, RNN, RNN_RELU, LSTM_PEEPHOLES, GRU_RESET_BEFORE, *HARD)}
TORCH_CELLS = tuple(cell for cell in CELLS.values() if cell.torch_class)
"""Cells that a module of torch computes."""


def with_reset_before(cell: Cell) -> Cell:
    """Return the GRU with reset before the product whose gates have the activation function of `cell`."""
    activation = cell.gate_activation
    return next(other for other in CELLS.values() if other.resets_before and other.gate_activation == activation)


def check_cell(cell: Cell) -> None:
    """Raise NetworkError for a cell that is not one of `CELLS`, because nothing here computes it.

    Cells are compared by value: one that was pickled or copied is another object.
    """
    if CELLS.get(cell.name) != cell:
        raise NetworkError(f"cell {cell.name!r} is not supported; accepted: {', '.join(CELLS)}")


def cell_named(name: str, where: str = "") -> Cell:
    """Return the cell called `name`; raise NetworkError with `where` and the alternatives."""
    if name not in CELLS:
        raise NetworkError(
            f"{where}cell {name!r} is not supported{did_you_mean(name, CELLS)}; accepted: {', '.join(CELLS)}"
        )
    return CELLS[name]
