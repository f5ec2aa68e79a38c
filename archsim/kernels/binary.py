"""The binary network: sign bits in 64-bit words, products by XNOR and popcount (SEMANTICS 1.3)."""

from __future__ import annotations

import numpy as np
from numba import njit

from archsim.kernels.arrays import F32, I32, U64
from archsim.kernels.intrinsics import popcount
from archsim.units import ceil_div

WORD_BITS = 64


def pack_signs(values: F32) -> U64:
    """Return the sign bits of each row, (rows, N) to (rows, ceil(N / 64)); bit 1 means `v >= 0`, pads are 0."""
    packed = np.zeros((values.shape[0], ceil_div(values.shape[1], WORD_BITS)), np.uint64)
    _pack_signs(values, packed, 0)
    return packed


def pack_joint_signs(x: F32, h: F32) -> U64:
    """Return the sign bits of `[x; h]` row by row, (B, I) and (B, H) to (B, ceil((I + H) / 64))."""
    n_bits = x.shape[1] + h.shape[1]
    packed = np.zeros((x.shape[0], ceil_div(n_bits, WORD_BITS)), np.uint64)
    _pack_signs(x, packed, 0)
    _pack_signs(h, packed, x.shape[1])
    return packed


def binary_products(inputs: U64, weights_t: U64, n_bits: int) -> I32:
    """Return the signed sums of ±1 products, in [-n_bits, n_bits].

    inputs (B, words), weights_t (words, M) the packed weight rows transposed; result (B, M) int32.
    """
    if inputs.shape[1] != weights_t.shape[0]:
        raise ValueError(f"need (B, words), (words, M): got {inputs.shape}, {weights_t.shape}")
    out = np.empty((inputs.shape[0], weights_t.shape[1]), np.int32)
    _binary_products(inputs, weights_t, n_bits, out)
    return out


@njit(cache=True, nogil=True)
def _pack_signs(values, packed, first_bit):  # type: ignore[no-untyped-def]
    for b in range(values.shape[0]):
        for i in range(values.shape[1]):
            bit = first_bit + i
            is_set = np.uint64(values[b, i] >= 0.0)
            packed[b, bit >> 6] |= is_set << np.uint64(bit & 63)


@njit(cache=True, nogil=True)
def _binary_products(inputs, weights_t, n_bits, out):  # type: ignore[no-untyped-def]
    # Pads are 0 on both sides, so XOR counts mismatches without a mask; n - 2·mismatches is the same
    # integer as 2·popcount(XNOR) - n over the n valid bits.
    for b in range(inputs.shape[0]):
        y = out[b]
        y[:] = n_bits
        for word in range(inputs.shape[1]):
            x = inputs[b, word]
            w = weights_t[word]
            for m in range(y.size):
                y[m] -= np.int32(2 * popcount(x ^ w[m]))
