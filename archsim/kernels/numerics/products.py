"""Dot products with stored weights, which are float32 columns or codes of a few bits (SEMANTICS 1.2).

Sums of codes are integers, hence exact: neither the order of their terms nor the batch size changes a bit.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from archsim.kernels.arrays import F32, F64, I16, check_shapes
from archsim.kernels.numerics.dense import add_products
from archsim.kernels.numerics.integer_tiles import (
    NO_TILES,
    TILE,
    Tiles,
    add_tile_of_four,
    add_tile_of_one,
    from_tiles,
    to_tiles,
)
from archsim.kernels.numerics.rounding import code_of

LARGEST_INPUT_COUNT = (2**31 - 1) // 127**2
"""Most inputs of a sum of products of 8-bit codes that int32 is sure to hold."""

ROWS_AT_ONCE = 32
"""Rows of inputs whose codes and sums are held at once."""


class ProductWeights(NamedTuple):
    """Weights of M dot products over N inputs."""

    columns: F32
    """Weights, one row per input, (N, M); (0, 0) where they are codes."""
    tiles: Tiles
    """Codes as `to_tiles` lays them out; empty where weights are float32."""
    scales: F64
    """Factor from a sum of products of codes to the dot product, exact in float64, (M,); empty without codes."""
    spacing: np.float32
    """Level spacing of the codes of the inputs; 0 without codes."""

    @property
    def n_products(self) -> int:
        """M."""
        return self.scales.size if self.spacing else self.columns.shape[1]


def float_weights(columns: F32) -> ProductWeights:
    """Return weights (N, M) float32."""
    return ProductWeights(np.ascontiguousarray(columns), NO_TILES, np.zeros(0), np.float32(0))


def integer_weights(codes: I16, spacings: F32, input_spacing: np.float32) -> ProductWeights:
    """Return weights of codes (M, N) in [-127, 127] with level spacings (M,), for inputs of spacing `input_spacing`.

    Raises ValueError for more inputs than int32 is sure to sum.
    """
    if codes.shape[1] > LARGEST_INPUT_COUNT:
        raise ValueError(f"{codes.shape[1]} inputs: sums of 8-bit products fit int32 up to {LARGEST_INPUT_COUNT}")
    scales = spacings.astype(np.float64) * np.float64(input_spacing)
    return ProductWeights(np.zeros((0, 0), np.float32), to_tiles(codes), scales, np.float32(input_spacing))


NO_WEIGHTS = float_weights(np.zeros((0, 0), np.float32))


def select_products(weights: ProductWeights, products: slice) -> ProductWeights:
    """Return the weights of consecutive products; the given ones where that is all of them."""
    if products == slice(0, weights.n_products):
        return weights
    if not weights.spacing:
        return float_weights(weights.columns[:, products])
    codes = from_tiles(weights.tiles, weights.n_products, 2 * weights.tiles.shape[1])
    return weights._replace(tiles=to_tiles(codes[products]), scales=weights.scales[products].copy())


def check_weights(name: str, weights: ProductWeights, n_inputs: int, n_products: int) -> None:
    """Raise ValueError for weights of other than `n_inputs` and `n_products`, because kernels do not check."""
    if weights.spacing:
        n_tiles, n_pairs = -(-n_products // TILE), -(-n_inputs // 2)
        expected: dict[str, tuple[NDArray[Any], tuple[int, ...]]] = {
            f"{name}.tiles": (weights.tiles, (n_tiles, n_pairs, 2 * TILE)),
            f"{name}.scales": (weights.scales, (n_products,)),
        }
        check_shapes(**expected)
    else:
        check_shapes(**{name: (weights.columns, (n_inputs, n_products))})


def accumulate(x: F32, weights: ProductWeights, out: F32) -> None:
    """Add the dot products of x (B, N) to `out` (B, M), float32.

    Inputs of codes are rounded to codes first; an input that is one already stays as it is.
    """
    check_weights("weights", weights, x.shape[1], out.shape[1])
    check_shapes(out=(out, (x.shape[0], weights.n_products)))
    add_weighted(x, weights, out)


# Inlined, because to hand on the arrays of the weights takes as long as a small layer's products.
@njit(cache=True, nogil=True, inline="always")
def add_weighted(x, weights, out):
    """Add dot products as `accumulate` does, unchecked; for kernels."""
    if weights.spacing == 0:
        add_products(x, weights.columns, out)
    else:
        _add_integer_products(x, weights.tiles, weights.scales, weights.spacing, out)


@njit(cache=True, nogil=True)
def _add_integer_products(x, tiles, scales, spacing, out):
    # Some rows at a time, because the codes and sums of thousands leave the caches, and come on fresh pages each time.
    n_rows = min(x.shape[0], ROWS_AT_ONCE)
    codes = np.zeros((n_rows, 2 * tiles.shape[1]), np.int16)
    sums = np.empty((n_rows, tiles.shape[0] * TILE), np.int32)
    for first in range(0, x.shape[0], ROWS_AT_ONCE):
        n = min(x.shape[0] - first, n_rows)
        for b in range(n):
            row, q = x[first + b], codes[b]
            for i in range(row.size):
                q[i] = np.int16(code_of(row[i], spacing))
        _sum_codes(codes[:n], tiles, sums)
        for b in range(n):
            y, s = out[first + b], sums[b]
            for m in range(y.size):
                y[m] += np.float32(scales[m] * np.float64(s[m]))


@njit(cache=True, nogil=True)
def _sum_codes(codes, tiles, sums):
    # Four rows at a time read a tile's weights once; the rows left over read them row by row.
    n_by_four = codes.shape[0] - codes.shape[0] % 4
    code_stride, sum_stride = codes.strides[0], sums.strides[0]
    for tile in range(tiles.shape[0]):
        weights, n_pairs = tiles[tile].ctypes.data, tiles.shape[1]
        for b in range(0, n_by_four, 4):
            out = sums[b:, tile * TILE :].ctypes.data
            add_tile_of_four(codes[b:].ctypes.data, code_stride, weights, n_pairs, out, sum_stride)
        for b in range(n_by_four, codes.shape[0]):
            out = sums[b:, tile * TILE :].ctypes.data
            add_tile_of_one(codes[b:].ctypes.data, code_stride, weights, n_pairs, out, sum_stride)
