"""The weights of a direction as the machine stores them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from weakref import WeakKeyDictionary

import numpy as np

from archsim.errors import NetworkError
from archsim.ir.cells import is_lstm
from archsim.ir.layers import Direction, Layer
from archsim.ir.network import Network
from archsim.kernels.arrays import F32
from archsim.kernels.numerics.fp16 import FP16_MAX, to_fp16

_STORED: WeakKeyDictionary[Network, dict[bool, list[list[StoredWeights]]]] = WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class StoredWeights:
    """Weights as stored, and transposed for the kernels, one column per product and unit."""

    weight_ih: F32
    weight_hh: F32
    input_t: F32
    """(I, P·H)."""
    hidden_t: F32
    """(H, P·H)."""
    bias: F32
    """(P, H); SEMANTICS 1.2: biases stay float32."""

    @cached_property
    def joint_t(self) -> F32:
        """A row for each column of [x; h], (N, P·H)."""
        return np.concatenate([self.input_t, self.hidden_t])


def store_network(network: Network, *, fp16: bool) -> list[list[StoredWeights]]:
    """The weights of each layer and direction, laid out once for all runs of a network.

    Raises NetworkError for a weight beyond the range of binary16.
    """
    known = _STORED.setdefault(network, {})
    if fp16 not in known:
        layers = network.layers
        known[fp16] = [[store_weights(layer, d, fp16=fp16) for d in layer.directions] for layer in layers]
    return known[fp16]


def store_weights(layer: Layer, direction: Direction, *, fp16: bool) -> StoredWeights:
    """Round the weights to what the machine stores and lay them out by product.

    Raises NetworkError for a weight beyond the range of binary16.
    """
    weight_ih = _stored(layer, "weight_ih", direction.weight_ih, fp16)
    weight_hh = _stored(layer, "weight_hh", direction.weight_hh, fp16)
    rows_ih, rows_hh, bias = weight_ih, weight_hh, direction.bias_ih + direction.bias_hh
    if not is_lstm(layer.cell):
        # The candidate's two partial products are rows of their own: one sees x only, the other h only.
        H = layer.hidden_size
        none_ih, none_hh = np.zeros((H, layer.input_size), np.float32), np.zeros((H, H), np.float32)
        rows_ih = np.concatenate([weight_ih, none_ih])
        rows_hh = np.concatenate([weight_hh[: 2 * H], none_hh, weight_hh[2 * H :]])
        bias = np.concatenate([bias[: 2 * H], direction.bias_ih[2 * H :], direction.bias_hh[2 * H :]])
    input_t, hidden_t = np.ascontiguousarray(rows_ih.T), np.ascontiguousarray(rows_hh.T)
    return StoredWeights(weight_ih, weight_hh, input_t, hidden_t, bias.reshape(-1, layer.hidden_size))


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
