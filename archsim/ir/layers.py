"""Recurrent layer of one or two directions of a cell, with checked weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from archsim.errors import NetworkError
from archsim.ir.cells import CELLS, Cell, check_cell
from archsim.kernels.arrays import F32
from archsim.ownership import OwnsArrays, own

WEIGHT_NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr", "peepholes")
"""Names of the arrays of a direction, also in network folders."""


@dataclass(frozen=True, eq=False)
class Direction(OwnsArrays):
    """Weights of one direction in float32, with the names and gate order of torch.

    weight_ih (G·H, I), weight_hh (G·H, R), bias_ih and bias_hh (G·H,), weight_hr (R, H); read-only. R is H without a
    projection, which only an LSTM may have.
    peepholes: weights of c in the gates i, f and o, (3·H,); None for a cell without them.
    """

    weight_ih: F32
    weight_hh: F32
    bias_ih: F32
    bias_hh: F32
    reverse: bool = False
    weight_hr: F32 | None = None
    """Projection of σ(o)·tanh(c) to h; None without one."""
    peepholes: F32 | None = None

    @property
    def arrays(self) -> dict[str, F32]:
        """Weights by name, those that there are."""
        return {name: array for name in WEIGHT_NAMES if (array := getattr(self, name)) is not None}


class State(NamedTuple):
    """State of a recurrent layer between steps, h (B, R) and c (B, H). A cell without c leaves it at zero."""

    h: F32
    c: F32


def zero_state(n_sequences: int, n_hidden: int, n_units: int) -> State:
    """Return the state before the first step, h (n_sequences, R) and c (n_sequences, H) of zeros."""
    return State(np.zeros((n_sequences, n_hidden), np.float32), np.zeros((n_sequences, n_units), np.float32))


@dataclass(frozen=True, eq=False)
class Layer:
    """Recurrent layer whose directions have their outputs concatenated."""

    name: str
    cell: Cell
    input_size: int
    hidden_size: int
    directions: tuple[Direction, ...] = field(repr=False)
    projection_size: int = 0
    """R, hidden values that a projection makes of the H hidden units; 0 without one."""

    def __post_init__(self) -> None:
        check_cell(self.cell)

    @property
    def output_size(self) -> int:
        """Outputs of all directions per step, D·R."""
        return self.recurrent_size * len(self.directions)

    @property
    def recurrent_size(self) -> int:
        """Hidden values h of a direction, R: those of the projection, or H."""
        return self.projection_size or self.hidden_size

    @property
    def joint_size(self) -> int:
        """Inputs of a neuron, N = I + R."""
        return self.input_size + self.recurrent_size

    @property
    def neurons_per_step(self) -> int:
        """Neuron evaluations of one direction per step, G·H."""
        return self.cell.n_gates * self.hidden_size


def make_direction(where: str, cell: Cell, weights: dict[str, ArrayLike | None], *, reverse: bool = False) -> Direction:
    """Check and convert the arrays of a direction by name; a missing bias is zero, a missing weight_hr no projection.

    Raises NetworkError with `where`, the array, its shape and the accepted shape.
    """
    weight_ih = _checked(where, "weight_ih", weights["weight_ih"])
    weight_hh = _checked(where, "weight_hh", weights["weight_hh"])
    weight_hr = _projection(where, cell, weights.get("weight_hr"), weight_hh)
    rows, hidden = weight_hh.shape if weight_hh.ndim == 2 else (0, 0)
    if weight_hr is not None:
        hidden = weight_hr.shape[1]
    if hidden == 0 or rows != cell.n_gates * hidden:
        raise NetworkError(
            f"{where}: weight_hh has shape {weight_hh.shape}, a {cell.name} needs ({cell.n_gates}·H, H) with H >= 1"
        )
    if weight_ih.ndim != 2 or weight_ih.shape[0] != rows or weight_ih.shape[1] == 0:
        raise NetworkError(f"{where}: weight_ih has shape {weight_ih.shape}, need ({rows}, I) with I >= 1")
    biases = {}
    for name in ("bias_ih", "bias_hh"):
        given = weights.get(name)
        bias = np.zeros(rows, np.float32) if given is None else _checked(where, name, given)
        if bias.shape != (rows,):
            raise NetworkError(f"{where}: {name} has shape {bias.shape}, need ({rows},)")
        biases[name] = bias
    peepholes = _peepholes(where, cell, weights.get("peepholes"), hidden)
    return Direction(weight_ih, weight_hh, **biases, reverse=reverse, weight_hr=weight_hr, peepholes=peepholes)


def _projection(where: str, cell: Cell, given: ArrayLike | None, weight_hh: F32) -> F32 | None:
    """Return the projection of a direction; NetworkError if it is ill-shaped or of a cell that has none."""
    if given is None:
        return None
    if not cell.may_project:
        having = ", ".join(name for name, other in CELLS.items() if other.may_project)
        raise NetworkError(f"{where}: a {cell.name} has no projection (weight_hr); cells that may have one: {having}")
    weight_hr = _checked(where, "weight_hr", given)
    outputs = weight_hh.shape[1] if weight_hh.ndim == 2 else 0
    if weight_hr.ndim != 2 or not 0 < weight_hr.shape[0] < weight_hr.shape[1] or weight_hr.shape[0] != outputs:
        raise NetworkError(
            f"{where}: weight_hr has shape {weight_hr.shape}, need (R, H) with 0 < R < H; weight_hh says R = {outputs}"
        )
    return weight_hr


def _peepholes(where: str, cell: Cell, given: ArrayLike | None, n_units: int) -> F32 | None:
    """Return the peephole weights of a direction; NetworkError if they are missing, ill-shaped or of another cell."""
    if not cell.peephole_gates:
        if given is not None:
            having = ", ".join(name for name, other in CELLS.items() if other.peephole_gates)
            raise NetworkError(f"{where}: a {cell.name} has no peepholes; cells with peepholes: {having}")
        return None
    peepholes = _checked(where, "peepholes", given)
    n = len(cell.peephole_gates)
    if peepholes.shape != (n * n_units,):
        raise NetworkError(f"{where}: peepholes has shape {peepholes.shape}, need ({n}·H,) with H = {n_units}")
    return peepholes


def _checked(where: str, name: str, values: ArrayLike | None) -> F32:
    if values is None:
        raise NetworkError(f"{where}: {name} is missing")
    array = np.asarray(values)
    if array.dtype.kind != "f" and array.dtype.name != "bfloat16":
        raise NetworkError(f"{where}: {name} is {array.dtype}, need floating point numbers, up to 64 bits")
    with np.errstate(over="ignore"):
        return require_finite(where, name, own(array, np.float32))


def require_finite(where: str, name: str, array: F32) -> F32:
    """Return the array; raise NetworkError if it holds NaN or infinity."""
    if not np.isfinite(array).all():
        raise NetworkError(f"{where}: {name} holds NaN or infinite values, need finite numbers")
    return array
