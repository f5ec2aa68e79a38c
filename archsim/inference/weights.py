"""The weights of a direction as the machine stores them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from archsim.errors import ConfigError, NetworkError
from archsim.inference.precision import Arithmetic, lacks_ranges, level_spacing, quantised_rows
from archsim.ir.cells import Cell
from archsim.ir.layers import Direction, Layer
from archsim.ir.network import Network
from archsim.kernels.arrays import F32, I8, I16, Bools
from archsim.kernels.numerics.cells import CellUpdate
from archsim.kernels.numerics.fp16 import FP16_MAX, to_fp16
from archsim.kernels.numerics.products import NO_WEIGHTS, ProductWeights, float_weights, integer_weights
from archsim.kernels.numerics.rounding import TO_FP16, UNROUNDED, Rounding, to_codes_of
from archsim.policies.delta import input_weights
from archsim.policies.tail import tail_codes

Number = TypeVar("Number", np.float32, np.int16, np.int8)
_STORED: WeakKeyDictionary[Network, dict[str, list[list[StoredWeights]]]] = WeakKeyDictionary()
PROJECTED_LARGEST = 1.0
"""Bound of |m_t| = |σ(o)·tanh(c_t)|, the inputs of a projection, so that nobody has to measure their largest."""


class TailWeights(NamedTuple):
    """Codes of the weights for a low-bit tail (SEMANTICS 1.4), laid out for the kernel."""

    codes_t: I8
    """Odd codes, one row per element of [x; h], (N, P·H); 0 where a product does not read the element."""
    spacings: F32
    """Level spacing of each product, (P·H,)."""


@dataclass(frozen=True, eq=False)
class StoredWeights:
    """Weights as the machine stores them, and laid out for the kernels with one product per product and unit."""

    weight_ih: F32
    """Values of the stored weights, (G·H, I); of codes, the numbers that they stand for."""
    weight_hh: F32
    """Values of the stored weights of h, (G·H, R)."""
    of_x: ProductWeights
    """Weights of P·H products over x."""
    of_h: ProductWeights
    """Weights of P·H products over h."""
    x_rounding: Rounding
    """Number format in which the inputs are stored, where they do not come in it."""
    update: CellUpdate
    """Cell update with biases and peepholes, which stay float32, and the projection (SEMANTICS 1.2)."""
    tails: dict[int, TailWeights] = field(default_factory=dict)
    """Weights of low-bit tails by their bits, as far as `tail_weights` has made them."""

    @cached_property
    def input_weights(self) -> F32:
        """Weight ρ of each element of [x; h] (SEMANTICS 1.4), (N,)."""
        return input_weights(self.weight_ih, self.weight_hh)

    @cached_property
    def joint_columns(self) -> F32:
        """Weights of [x; h], one row per element, (N, P·H); for weights that are not codes."""
        return np.concatenate([self.of_x.columns, self.of_h.columns])


def store_network(network: Network, precision: Arithmetic) -> list[list[StoredWeights]]:
    """Return the stored weights of each layer and direction, laid out once for all runs of a network.

    Raises NetworkError for a weight beyond the range of binary16, ConfigError where codes of inputs lack a range.
    """
    known = _STORED.setdefault(network, {})
    if precision.name not in known:
        check_ranges(network, precision)
        known[precision.name] = [
            [store_weights(layer, d, precision, *_largest(network, i, j)) for j, d in enumerate(layer.directions)]
            for i, layer in enumerate(network.layers)
        ]
    return known[precision.name]


def check_ranges(network: Network, precision: Arithmetic) -> None:
    """Raise ConfigError where inputs are stored in 8 bits and nobody has measured how large they get."""
    if not lacks_ranges(network, precision.name):
        return
    missing = f"{network.name} has no scales with the largest inputs, which precision {precision.name} stores by"
    by_shell = "archsim calibrate --network FOLDER --trace TRACE --scales-only --save"
    in_python = "dataclasses.replace(network, scales=archsim.measure_scales(network, trace))"
    raise ConfigError(f"{missing}: measure them with {by_shell}, or in Python {in_python}")


def _largest(network: Network, layer: int, direction: int) -> tuple[float, float]:
    """Return the largest |x| and |h| of a pass on calibration data; zeros where nobody has measured them."""
    scales = network.scales
    if scales is None or scales.largest_inputs is None or scales.largest_hidden is None:
        return 0.0, 0.0
    return scales.largest_inputs[layer], scales.largest_hidden[layer][direction]


def store_weights(
    layer: Layer, direction: Direction, precision: Arithmetic, largest_x: float = 0.0, largest_h: float = 0.0
) -> StoredWeights:
    """Return the weights of a direction rounded as the machine stores them and laid out by product.

    largest_x, largest_h: values that the largest code of an input stands for; read where inputs are codes.
    Raises NetworkError for a weight beyond the range of binary16, or for more inputs than integer sums have room for.
    """
    reads_x, reads_h = _operands(layer.cell)
    b_ih, b_hh = (_by_product(layer, bias) for bias in (direction.bias_ih, direction.bias_hh))
    x_rounding, h_rounding = (_rounding(precision, largest) for largest in (largest_x, largest_h))
    weight_ih, of_x = _stored(layer, "weight_ih", direction.weight_ih, reads_x, precision, x_rounding)
    weight_hh, of_h = _stored(layer, "weight_hh", direction.weight_hh, reads_h, precision, h_rounding)
    return StoredWeights(
        weight_ih=weight_ih,
        weight_hh=weight_hh,
        of_x=of_x,
        of_h=of_h,
        x_rounding=x_rounding if precision.is_integer else UNROUNDED,
        update=CellUpdate(
            kernel_id=layer.cell.kernel_id,
            gate_slope=np.float32(layer.cell.gate_activation.slope),
            bias=np.where(reads_x & reads_h, b_ih + b_hh, np.where(reads_x, b_ih, b_hh)),
            peepholes=_peepholes(layer, direction),
            projection=_projection(layer, direction, precision),
            rounding=h_rounding,
        ),
    )


def tail_weights(layer: Layer, weights: StoredWeights, bits: int) -> TailWeights:
    """Return the weights of a direction for a tail of `bits` bits, made once for all runs of a network."""
    if bits not in weights.tails:
        codes, spacings = tail_codes(weights.weight_ih, weights.weight_hh, weights.input_weights, bits)
        parts = zip(np.split(codes, [layer.input_size], axis=1), _operands(layer.cell), strict=True)
        by_product = np.concatenate(
            [np.where(reads[..., None], _by_product(layer, part), np.int8(0)) for part, reads in parts], axis=2
        )
        codes_t = np.ascontiguousarray(by_product.reshape(-1, layer.joint_size).T)
        weights.tails[bits] = TailWeights(codes_t, _by_product(layer, spacings).reshape(-1))
    return weights.tails[bits]


def _rounding(precision: Arithmetic, largest: float) -> Rounding:
    if precision.is_integer:
        return to_codes_of(level_spacing(largest))
    return TO_FP16 if precision.fp16 else UNROUNDED


def _operands(cell: Cell) -> tuple[Bools, Bools]:
    """Return which products read x, and which read h, (P, 1) each.

    Where a gate has two products, the first reads x only and the second h only; any other product reads both.
    """
    gates = cell.gate_of_product
    reads_x = [gate not in gates[:product] for product, gate in enumerate(gates)]
    reads_h = [gate not in gates[product + 1 :] for product, gate in enumerate(gates)]
    return np.array(reads_x)[:, None], np.array(reads_h)[:, None]


def _by_product(layer: Layer, rows: NDArray[Number]) -> NDArray[Number]:
    """Return the rows of each product's gate, (G·H, ...) to (P, H, ...)."""
    gates = rows.reshape(layer.cell.n_gates, layer.hidden_size, *rows.shape[1:])
    return gates[list(layer.cell.gate_of_product)]


def _peepholes(layer: Layer, direction: Direction) -> F32:
    """Return the peephole weights by gate, (3, H); (0, H) for a cell without them."""
    if direction.peepholes is None:
        return np.zeros((0, layer.hidden_size), np.float32)
    # A copy, because kernels would be compiled once more for an array that is read-only.
    return direction.peepholes.reshape(-1, layer.hidden_size).copy()


def _projection(layer: Layer, direction: Direction, precision: Arithmetic) -> ProductWeights:
    """Return the weights of the projection; none without one."""
    weights = direction.weight_hr
    if weights is None:
        return NO_WEIGHTS
    if precision.is_integer:
        codes, spacings = quantised_rows(weights, precision.largest_weight_code)
        return _integer_weights(layer, codes, spacings, level_spacing(PROJECTED_LARGEST))
    return float_weights(_rounded(layer, "weight_hr", weights, precision).T)


def _stored(
    layer: Layer, name: str, weights: F32, reads: Bools, precision: Arithmetic, rounding: Rounding
) -> tuple[F32, ProductWeights]:
    """Return the values of the stored weights (G·H, n), and weights (n, P·H) of the products that read the inputs."""
    if not precision.is_integer:
        values = _rounded(layer, name, weights, precision)
        by_product = np.where(reads[..., None], _by_product(layer, values), np.float32(0))
        return values, float_weights(by_product.reshape(-1, weights.shape[1]).T)
    codes, spacings = quantised_rows(weights, precision.largest_weight_code)
    by_product = np.where(reads[..., None], _by_product(layer, codes), np.int16(0)).reshape(-1, weights.shape[1])
    of_product = _by_product(layer, spacings).reshape(-1)
    return codes * spacings[:, None], _integer_weights(layer, by_product, of_product, rounding.spacing)


def _integer_weights(layer: Layer, codes: I16, spacings: F32, input_spacing: np.float32) -> ProductWeights:
    try:
        return integer_weights(codes, spacings, input_spacing)
    except ValueError as error:
        raise NetworkError(f"{layer.name} has {error}: use precision fp16") from None


def _rounded(layer: Layer, name: str, weights: F32, precision: Arithmetic) -> F32:
    if not precision.fp16:
        return weights.copy()
    check_fp16_range(f"{layer.name}: {name}", weights)
    return to_fp16(weights)


def check_fp16_range(what: str, weights: F32) -> None:
    """Raise NetworkError for a number beyond the range of binary16."""
    largest = np.abs(weights).max()
    if largest > FP16_MAX:
        raise NetworkError(f"{what} holds {largest:g}, binary16 ends at {FP16_MAX:g}: use precision fp32")
