"""The weights of a direction as the machine stores them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from weakref import WeakKeyDictionary

import numpy as np

from archsim.errors import NetworkError
from archsim.ir.cells import Cell
from archsim.ir.layers import Direction, Layer
from archsim.ir.network import Network
from archsim.kernels.arrays import F32, Bools
from archsim.kernels.numerics.cells import CellUpdate
from archsim.kernels.numerics.fp16 import FP16_MAX, to_fp16

_STORED: WeakKeyDictionary[Network, dict[bool, list[list[StoredWeights]]]] = WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class StoredWeights:
    """Weights as the machine stores them, and transposed for the kernels with one column per product and unit."""

    weight_ih: F32
    weight_hh: F32
    input_t: F32
    """Weights of x, (I, P·H)."""
    hidden_t: F32
    """Weights of h, (R, P·H)."""
    update: CellUpdate
    """Cell update with biases and peepholes, which stay float32, and the projection (SEMANTICS 1.2)."""

    @cached_property
    def joint_t(self) -> F32:
        """Weights of [x; h], one row per element, (N, P·H)."""
        return np.concatenate([self.input_t, self.hidden_t])


def store_network(network: Network, *, fp16: bool) -> list[list[StoredWeights]]:
    """Return the stored weights of each layer and direction, laid out once for all runs of a network.

    Raises NetworkError for a weight beyond the range of binary16.
    """
    known = _STORED.setdefault(network, {})
    if fp16 not in known:
        layers = network.layers
        known[fp16] = [[store_weights(layer, d, fp16=fp16) for d in layer.directions] for layer in layers]
    return known[fp16]


def store_weights(layer: Layer, direction: Direction, *, fp16: bool) -> StoredWeights:
    """Return the weights of a direction rounded as the machine stores them and laid out by product.

    Raises NetworkError for a weight beyond the range of binary16.
    """
    weight_ih = _stored(layer, "weight_ih", direction.weight_ih, fp16)
    weight_hh = _stored(layer, "weight_hh", direction.weight_hh, fp16)
    reads_x, reads_h = _operands(layer.cell)
    b_ih, b_hh = (_by_product(layer, bias) for bias in (direction.bias_ih, direction.bias_hh))
    return StoredWeights(
        weight_ih=weight_ih,
        weight_hh=weight_hh,
        input_t=_transposed(np.where(reads_x[..., None], _by_product(layer, weight_ih), np.float32(0))),
        hidden_t=_transposed(np.where(reads_h[..., None], _by_product(layer, weight_hh), np.float32(0))),
        update=CellUpdate(
            kernel_id=layer.cell.kernel_id,
            gate_slope=np.float32(layer.cell.gate_activation.slope),
            bias=np.where(reads_x & reads_h, b_ih + b_hh, np.where(reads_x, b_ih, b_hh)),
            peepholes=_peepholes(layer, direction),
            projection_t=_projection_t(layer, direction, fp16),
        ),
    )


def _operands(cell: Cell) -> tuple[Bools, Bools]:
    """Return which products read x, and which read h, (P, 1) each.

    Where a gate has two products, the first reads x only and the second h only; any other product reads both.
    """
    gates = cell.gate_of_product
    reads_x = [gate not in gates[:product] for product, gate in enumerate(gates)]
    reads_h = [gate not in gates[product + 1 :] for product, gate in enumerate(gates)]
    return np.array(reads_x)[:, None], np.array(reads_h)[:, None]


def _by_product(layer: Layer, rows: F32) -> F32:
    """Return the rows of each product's gate, (G·H, ...) to (P, H, ...)."""
    gates = rows.reshape(layer.cell.n_gates, layer.hidden_size, *rows.shape[1:])
    return gates[list(layer.cell.gate_of_product)]


def _peepholes(layer: Layer, direction: Direction) -> F32:
    """Return the peephole weights by gate, (3, H); (0, H) for a cell without them."""
    if direction.peepholes is None:
        return np.zeros((0, layer.hidden_size), np.float32)
    # A copy, because kernels would be compiled once more for an array that is read-only.
    return direction.peepholes.reshape(-1, layer.hidden_size).copy()


def _projection_t(layer: Layer, direction: Direction, fp16: bool) -> F32:
    """Return the weights of the projection, (H, R); (0, 0) without one."""
    if direction.weight_hr is None:
        return np.zeros((0, 0), np.float32)
    return np.ascontiguousarray(_stored(layer, "weight_hr", direction.weight_hr, fp16).T)


def _transposed(blocks: F32) -> F32:
    """Return weights (P, H, n) as the kernels read them, (n, P·H)."""
    return np.ascontiguousarray(blocks.reshape(-1, blocks.shape[2]).T)


def _stored(layer: Layer, name: str, weights: F32, fp16: bool) -> F32:
    if not fp16:
        return weights.copy()
    check_fp16_range(f"{layer.name}: {name}", weights)
    return to_fp16(weights)


def check_fp16_range(what: str, weights: F32) -> None:
    """Raise NetworkError for a number beyond the range of binary16."""
    largest = np.abs(weights).max()
    if largest > FP16_MAX:
        raise NetworkError(f"{what} holds {largest:g}, binary16 ends at {FP16_MAX:g}: use precision fp32")
