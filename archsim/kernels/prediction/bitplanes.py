"""Bit planes of predictors: ±1 in 64-bit words, products by XNOR and popcount (SEMANTICS 1.3).

A code of b bits is a sum of b signs, 2^(b-1)·s_{b-1} + ... + s_0 with each s = ±1, so a product of codes is the sum of
b·b binary products; with one bit it is the binary network. A ternary code is a sign and a mask.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit

from archsim.kernels.arrays import F32, I32, U64
from archsim.kernels.numerics.intrinsics import popcount
from archsim.units import ceil_div

WORD_BITS = 64
MAX_CODE_BITS = 8
"""Most bits of a code."""


def pack_signs(values: F32) -> U64:
    """Return the sign bits of each row, (rows, N) to (rows, ceil(N / 64)); bit 1 means `v >= 0`, pads are 0."""
    return pack_joint_signs(values, values[:, :0])


def pack_joint_signs(x: F32, h: F32) -> U64:
    """Return the sign bits of `[x; h]` row by row, (B, I) and (B, H) to (B, ceil((I + H) / 64))."""
    packed = _empty_planes(1, x, h)
    put_signs(x, packed[0], 0)
    put_signs(h, packed[0], x.shape[1])
    signs: U64 = packed[0]
    return signs


def pack_joint_codes(x: F32, x_spacings: F32, h: F32, h_spacings: F32, bits: int) -> U64:
    """Return codes of `bits` bits of `[x; h]`, plane 0 the lowest: (bits, B, ceil((I + H) / 64)).

    x (B, I), h (B, H); spacings (B,) of the levels. A code is floor(v / spacing), cut to [-2^(bits-1), 2^(bits-1)), and
    stands for the odd number 2·code + 1; its highest plane is the sign.
    """
    packed = _empty_planes(bits, x, h)
    put_codes(x, x_spacings, packed, 0)
    put_codes(h, h_spacings, packed, x.shape[1])
    return packed


def pack_joint_ternary(x: F32, x_least: F32, h: F32, h_least: F32) -> U64:
    """Return ternary codes of `[x; h]`, their signs and their masks: (2, B, ceil((I + H) / 64)).

    x (B, I), h (B, H); least (B,): a smaller magnitude counts as zero, its mask is 0.
    """
    packed = _empty_planes(2, x, h)
    put_ternary(x, x_least, packed, 0)
    put_ternary(h, h_least, packed, x.shape[1])
    return packed


def mean_magnitudes(a: F32, b: F32) -> F32:
    """Return the mean magnitude of each row of `[a; b]`, (rows, I) and (rows, H) to (rows,); added up in order."""
    means = np.zeros(a.shape[0], np.float32)
    _mean_magnitudes(a, b, means)
    return means


def binary_products(inputs: U64, weights_t: U64, n_bits: int) -> I32:
    """Return the signed sums of ±1 products, in [-n_bits, n_bits].

    inputs (B, words), weights_t (words, M) the packed weight rows transposed; result (B, M) int32.
    """
    return code_products(inputs[None], weights_t[None], n_bits)


def code_products(inputs: U64, weights_t: U64, n_bits: int) -> I32:
    """Return the products of codes, sums of n_bits odd numbers.

    inputs (bits, B, words), weights_t (bits, words, M) the packed weight rows transposed; result (B, M) int32.
    """
    if inputs.shape[::2] != weights_t.shape[:2]:
        raise ValueError(f"need (planes, B, words), (planes, words, M): got {inputs.shape}, {weights_t.shape}")
    largest = (1 << inputs.shape[0]) - 1
    out = np.full((inputs.shape[1], weights_t.shape[2]), n_bits * largest * largest, np.int32)
    add_code_products(inputs, weights_t, out)
    return out


def _empty_planes(planes: int, x: F32, h: F32) -> U64:
    return np.zeros((planes, x.shape[0], ceil_div(x.shape[1] + h.shape[1], WORD_BITS)), np.uint64)


@njit(cache=True, nogil=True)
def _mean_magnitudes(a, b, means):
    for row in range(means.size):
        total = 0.0
        for i in range(a.shape[1]):
            total += abs(np.float64(a[row, i]))
        for i in range(b.shape[1]):
            total += abs(np.float64(b[row, i]))
        means[row] = total / (a.shape[1] + b.shape[1])


@njit(cache=True, nogil=True)
def put_signs(values, packed, first_bit):
    """Set the bits of values (B, n) that are >= 0 in packed (B, words), from `first_bit` on; for kernels."""
    for b in range(values.shape[0]):
        for i in range(values.shape[1]):
            bit = first_bit + i
            is_set = np.uint64(values[b, i] >= 0.0)
            packed[b, bit >> 6] |= is_set << np.uint64(bit & 63)


@njit(cache=True, nogil=True)
def put_signs_above(values, levels, packed, first_bit):
    """Set the bits of values (B, n) that are at least their level (n,), as `put_signs` does; for kernels."""
    for b in range(values.shape[0]):
        for i in range(values.shape[1]):
            bit = first_bit + i
            is_set = np.uint64(values[b, i] >= levels[i])
            packed[b, bit >> 6] |= is_set << np.uint64(bit & 63)


@njit(cache=True, nogil=True, error_model="numpy")
def put_codes(values, spacings, packed, first_bit):
    """Set the bits of the codes of values (B, n) in planes (bits, B, words), from `first_bit` on; for kernels."""
    bits = packed.shape[0]
    half = np.float32(1 << (bits - 1))
    for b in range(values.shape[0]):
        for i in range(values.shape[1]):
            bit = first_bit + i
            # Clipped before the conversion, because an integer cannot hold every float.
            level = min(max(np.floor(values[b, i] / spacings[b]), -half), half - np.float32(1.0))
            code = np.uint64(level + half)
            for plane in range(bits):
                is_set = (code >> np.uint64(plane)) & np.uint64(1)
                packed[plane, b, bit >> 6] |= is_set << np.uint64(bit & 63)


@njit(cache=True, nogil=True)
def put_ternary(values, least, packed, first_bit):
    """Set the signs and masks of values (B, n) in planes (2, B, words), from `first_bit` on; for kernels."""
    for b in range(values.shape[0]):
        for i in range(values.shape[1]):
            bit = first_bit + i
            sign, counts = np.uint64(values[b, i] >= 0.0), np.uint64(abs(values[b, i]) >= least[b])
            packed[0, b, bit >> 6] |= sign << np.uint64(bit & 63)
            packed[1, b, bit >> 6] |= counts << np.uint64(bit & 63)


@njit(cache=True, nogil=True)
def add_code_products(inputs, weights_t, out):
    """Subtract the mismatches of codes from out (B, M), which begins at the largest product; for kernels."""
    # Padding bits are 0 on both sides, so XOR counts mismatches without a mask. Over the n valid bits,
    # n - 2·mismatches equals yb = 2·popcount(XNOR) - n of SEMANTICS 1.3.
    for b in range(inputs.shape[1]):
        y = out[b]
        for word in range(inputs.shape[2]):
            for i in range(inputs.shape[0]):
                x = inputs[i, b, word]
                for j in range(inputs.shape[0]):
                    w, twice = weights_t[j, word], np.int32(2 << (i + j))
                    for m in range(y.size):
                        y[m] -= twice * np.int32(popcount(x ^ w[m]))


@njit(cache=True, nogil=True)
def add_ternary_products(inputs, weights_t, out):
    """Add the products of -1, 0 and 1 to out (B, M) int32; for kernels.

    inputs (2, B, words), weights_t (2, words, M), signs and masks.
    """
    for b in range(inputs.shape[1]):
        y = out[b]
        for word in range(inputs.shape[2]):
            sign, mask = inputs[0, b, word], inputs[1, b, word]
            signs, masks = weights_t[0, word], weights_t[1, word]
            for m in range(y.size):
                both = mask & masks[m]
                y[m] += np.int32(popcount(both)) - np.int32(2) * np.int32(popcount((sign ^ signs[m]) & both))
