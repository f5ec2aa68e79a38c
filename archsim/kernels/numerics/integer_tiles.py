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


@intrinsic
def add_listed_pairs(typing_context, codes, listed, n_listed, weights, sums):
    """Add the products of the listed pairs of one row of input codes with one tile of weights to its sums.

    Its arguments are addresses and a count: codes (pairs, 2) int16, positions of pairs (n,) int32, n, weights of the
    tile, and sums (TILE,) int32.
    """
    signature = types.void(*[types.intp] * 5)

    def build(context, builder, signature, arguments):
        _build_listed(builder, *arguments)
        return context.get_dummy_value()

    return signature, build


def _build_tile(builder, n_rows, codes, code_stride, weights, n_pairs, sums, sum_stride):
    zeros = [ir.Constant(ir.VectorType(I32, LANES), None)] * VECTORS
    # LLVM keeps these in registers, because nothing takes their addresses.
    totals = [[cgutils.alloca_once_value(builder, zero) for zero in zeros] for _ in range(n_rows)]
    with cgutils.for_range(builder, n_pairs) as loop:
        columns = _load_weights(builder, weights, loop.index)
        pair = _at(builder, codes, builder.mul(loop.index, loop.index.type(4)))
        for row, of_row in enumerate(totals):
            inputs = _load_pair(builder, _at(builder, pair, builder.mul(code_stride, code_stride.type(row))))
            _add_pair(builder, columns, inputs, of_row)
    for row, of_row in enumerate(totals):
        first = _at(builder, sums, builder.mul(sum_stride, sum_stride.type(row)))
        for address, total in zip(_vectors_of(builder, first), of_row, strict=True):
            builder.store(builder.load(total), address, align=4)


def _build_listed(builder, codes, listed, n_listed, weights, sums):
    addresses = _vectors_of(builder, sums)
    totals = [cgutils.alloca_once_value(builder, builder.load(address, align=4)) for address in addresses]
    with cgutils.for_range(builder, n_listed) as loop:
        entry = _at(builder, listed, builder.mul(loop.index, loop.index.type(4)))
        index = builder.zext(builder.load(builder.inttoptr(entry, I32.as_pointer())), codes.type)
        inputs = _load_pair(builder, _at(builder, codes, builder.mul(index, index.type(4))))
        _add_pair(builder, _load_weights(builder, weights, index), inputs, totals)
    for address, total in zip(addresses, totals, strict=True):
        builder.store(builder.load(total), address, align=4)


def _vectors_of(builder, sums):
    """Return pointers to the vectors of a tile's sums."""
    pointer = ir.VectorType(I32, LANES).as_pointer()
    return [builder.inttoptr(_at(builder, sums, sums.type(4 * LANES * vector)), pointer) for vector in range(VECTORS)]


def _at(builder, address, offset):
    return builder.add(address, offset)


def _load_weights(builder, weights, pair):
    """Return the codes of a tile for a pair of inputs, neighbours in each vector, as 32-bit integers."""
    narrow, wide = ir.VectorType(I8, 2 * LANES), ir.VectorType(I32, 2 * LANES)
    row = _at(builder, weights, builder.mul(pair, pair.type(2 * TILE)))
    addresses = [_at(builder, row, row.type(2 * LANES * vector)) for vector in range(VECTORS)]
    return [
        builder.sext(builder.load(builder.inttoptr(address, narrow.as_pointer()), align=1), wide)
        for address in addresses
    ]


def _load_pair(builder, address):
    """Return the codes of a pair of inputs, repeated for 16 neurons, as 32-bit integers."""
    repeated, wide = ir.VectorType(I32, LANES), ir.VectorType(I32, 2 * LANES)
    pair = builder.load(builder.inttoptr(address, I32.as_pointer()), align=2)
    undefined = ir.Constant(repeated, ir.Undefined)
    one = builder.insert_element(undefined, pair, I32(0))
    pairs = builder.shuffle_vector(one, undefined, ir.Constant(repeated, None))
    return builder.sext(builder.bitcast(pairs, ir.VectorType(I16_TYPE, 2 * LANES)), wide)


def _add_pair(builder, columns, inputs, totals):
    """Add the products of a pair of inputs with the weights of a tile to the totals of a row."""
    for column, total in zip(columns, totals, strict=True):
        more = _add_neighbours(builder, builder.mul(column, inputs))
        builder.store(builder.add(builder.load(total), more), total)


def _add_neighbours(builder, products):
    """Return the sums of the even and the odd elements of 32 products, the shape of a multiply-add."""
    lanes = ir.VectorType(I32, LANES)
    even, odd = (ir.Constant(lanes, [2 * lane + first for lane in range(LANES)]) for first in (0, 1))
    return builder.add(*(builder.shuffle_vector(products, products, which) for which in (even, odd)))
