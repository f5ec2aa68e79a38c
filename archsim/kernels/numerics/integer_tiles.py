"""Integer sums of products in tiles of 64 neurons, by vectors that LLVM turns into integer multiply-adds.

The loop vectoriser of LLVM does not find them for neurons side by side, so the vectors are written out here, in LLVM's
own portable operations: 16-bit products of two neighbouring inputs, added to a 32-bit sum. On AVX512-VNNI it becomes
`vpdpwssd`, on AVX2 `vpmaddwd`, and on any other machine whatever it has; integers are the same on all of them.
"""

# Numba calls these builders with LLVM objects that carry no types.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, attr-defined, misc"

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from archsim.kernels.arrays import I16
from archsim.units import ceil_div

LANES = 16
"""32-bit sums of a vector."""
VECTORS = 4
"""Vectors of a tile. Four independent sums hide the latency of a multiply-add, even of a single row."""
TILE = LANES * VECTORS
"""Neurons of a tile."""
Tiles = NDArray[np.int8]
"""Codes of weights by tile, pair of inputs, neuron and input of the pair: (tiles, ceil(N / 2), 2·TILE)."""
NO_TILES: Tiles = np.zeros((0, 0, 2 * TILE), np.int8)
I8, I16_TYPE, I32 = (ir.IntType(bits) for bits in (8, 16, 32))


def to_tiles(codes: I16) -> Tiles:
    """Return codes (M, N) of neurons by inputs in tiles, padded by zeros."""
    (M, N), pairs = codes.shape, ceil_div(codes.shape[1], 2)
    padded = np.zeros((ceil_div(M, TILE) * TILE, 2 * pairs), np.int8)
    padded[:M, :N] = codes
    tiles = padded.reshape(-1, TILE, pairs, 2).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(tiles).reshape(-1, pairs, 2 * TILE)


def from_tiles(tiles: Tiles, n_neurons: int, n_inputs: int) -> I16:
    """Return the codes of tiles, (M, N) int16."""
    pairs = tiles.shape[1]
    rows = tiles.reshape(-1, pairs, TILE, 2).transpose(0, 2, 1, 3).reshape(-1, 2 * pairs)
    return rows[:n_neurons, :n_inputs].astype(np.int16)


def _tile_sums(n_rows):
    """Return an intrinsic that sums the products of `n_rows` rows of input codes with one tile of weights.

    Its arguments are addresses, strides in bytes, and a count: codes (rows, pairs, 2) int16 and their row stride,
    weights of the tile, number of pairs, sums (rows, TILE) int32, which it writes, and their row stride.
    """

    @intrinsic
    def sum_tile(typing_context, codes, code_stride, weights, n_pairs, sums, sum_stride):
        signature = types.void(*[types.intp] * 6)

        def build(context, builder, signature, arguments):
            _build_tile(builder, n_rows, *arguments)
            return context.get_dummy_value()

        return signature, build

    return sum_tile


add_tile_of_one, add_tile_of_four = _tile_sums(1), _tile_sums(4)


def _build_tile(builder, n_rows, codes, code_stride, weights, n_pairs, sums, sum_stride):
    sum_type = ir.VectorType(I32, LANES)
    zero = ir.Constant(sum_type, None)
    # LLVM keeps these in registers, because nothing takes their addresses.
    totals = [[cgutils.alloca_once_value(builder, zero) for _ in range(VECTORS)] for _ in range(n_rows)]
    with cgutils.for_range(builder, n_pairs) as loop:
        tile_row = _at(builder, weights, builder.mul(loop.index, loop.index.type(2 * TILE)))
        columns = [_load_weights(builder, tile_row, vector) for vector in range(VECTORS)]
        pair = _at(builder, codes, builder.mul(loop.index, loop.index.type(4)))
        for row, of_row in enumerate(totals):
            inputs = _load_pair(builder, _at(builder, pair, builder.mul(code_stride, code_stride.type(row))))
            for column, total in zip(columns, of_row, strict=True):
                more = _add_neighbours(builder, builder.mul(column, inputs))
                builder.store(builder.add(builder.load(total), more), total)
    for row, of_row in enumerate(totals):
        first = _at(builder, sums, builder.mul(sum_stride, sum_stride.type(row)))
        for vector, total in enumerate(of_row):
            address = _at(builder, first, first.type(4 * LANES * vector))
            builder.store(builder.load(total), builder.inttoptr(address, sum_type.as_pointer()), align=4)


def _at(builder, address, offset):
    return builder.add(address, offset)


def _load_weights(builder, tile_row, vector):
    """Return the codes of 16 neurons for a pair of inputs, neighbours in the vector, as 32-bit integers."""
    narrow, wide = ir.VectorType(I8, 2 * LANES), ir.VectorType(I32, 2 * LANES)
    address = _at(builder, tile_row, tile_row.type(2 * LANES * vector))
    return builder.sext(builder.load(builder.inttoptr(address, narrow.as_pointer()), align=1), wide)


def _load_pair(builder, address):
    """Return the codes of a pair of inputs, repeated for 16 neurons, as 32-bit integers."""
    repeated, wide = ir.VectorType(I32, LANES), ir.VectorType(I32, 2 * LANES)
    pair = builder.load(builder.inttoptr(address, I32.as_pointer()), align=2)
    undefined = ir.Constant(repeated, ir.Undefined)
    one = builder.insert_element(undefined, pair, I32(0))
    pairs = builder.shuffle_vector(one, undefined, ir.Constant(repeated, None))
    return builder.sext(builder.bitcast(pairs, ir.VectorType(I16_TYPE, 2 * LANES)), wide)


def _add_neighbours(builder, products):
    """Return the sums of the even and the odd elements of 32 products, the shape of a multiply-add."""
    lanes = ir.VectorType(I32, LANES)
    even, odd = (ir.Constant(lanes, [2 * lane + first for lane in range(LANES)]) for first in (0, 1))
    return builder.add(*(builder.shuffle_vector(products, products, which) for which in (even, odd)))
