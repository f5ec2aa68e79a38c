"""Update of the low-bit tail: the sums of what has not entered the products, in codes of a few bits (SEMANTICS 1.4)."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from archsim.kernels.arrays import F32, I8, CodeSums, check_shapes


class TailScales(NamedTuple):
    """Numbers that turn what has not entered into codes, and sums of codes into amounts."""

    input_weights: F32
    """Weight ρ of each element, (N,)."""
    codes_per_unit: np.float32
    """Q/θ, the codes of what has not entered per unit of a pre-activation."""
    largest: np.float32
    """Q, the largest of these codes."""
    code_values: F32
    """Amount κ that a product of two codes counts, (M,)."""


def add_tail(
    values: F32,
    propagated: F32,
    codes_t: I8,
    scales: TailScales,
    remainders: I8,
    code_sums: CodeSums,
    products: F32,
    out: F32,
) -> None:
    """Put products plus the tail of what has not entered, values - propagated, into `out`.

    values, propagated (B, N) float32; codes_t (N, M) int8, one row per element; products, out (B, M) float32.
    remainders (B, N) int8 are the codes of the step before, and code_sums (B, M) their sums; both become those of this
    step. Only the rows of elements whose code has changed are read. Sums are integers, so their order does not matter;
    those of int16 may overflow on the way, but the last must fit.
    """
    (B, N), M = values.shape, codes_t.shape[1]
    check_shapes(propagated=(propagated, (B, N)), remainders=(remainders, (B, N)), codes_t=(codes_t, (N, M)))
    check_shapes(code_sums=(code_sums, (B, M)), products=(products, (B, M)), out=(out, (B, M)))
    check_shapes(input_weights=(scales.input_weights, (N,)), code_values=(scales.code_values, (M,)))
    _add_tail(values, propagated, codes_t, scales, remainders, code_sums, products, out)


@njit(cache=True, nogil=True)
def _add_tail(values, propagated, codes_t, scales, remainders, code_sums, products, out):
    # Changed elements are listed first, so that four of their rows can go through one sweep of the sums.
    N = values.shape[1]
    codes, changed, changes = np.empty(N, np.int8), np.empty(N, np.int64), np.zeros(N + 3, np.int16)
    for b in range(values.shape[0]):
        _put_codes(values[b], propagated[b], scales, codes)
        n = _list_changes(codes, remainders[b], changed, changes)
        changes[n : n + 3] = 0  # the last sweep takes its last row up to three times more, times 0
        for i in range(0, n, 4):
            j0, j1 = changed[i], changed[min(i + 1, n - 1)]
            j2, j3 = changed[min(i + 2, n - 1)], changed[min(i + 3, n - 1)]
            _add_four_rows(codes_t[j0], codes_t[j1], codes_t[j2], codes_t[j3], changes[i : i + 4], code_sums[b])
        _put_sums(products[b], code_sums[b], scales.code_values, out[b])


@njit(cache=True, nogil=True)
def _put_codes(values, propagated, scales, codes):
    largest, codes_per_unit = scales.largest, scales.codes_per_unit
    for j in range(codes.size):
        # Rounded after each product, as SEMANTICS 1.4 has it.
        code = np.rint((values[j] - propagated[j]) * scales.input_weights[j] * codes_per_unit)
        codes[j] = np.int8(min(max(code, -largest), largest))


@njit(cache=True, nogil=True)
def _list_changes(codes, remainders, changed, changes):
    n = 0
    for j in range(codes.size):
        # Without a branch, because nobody can foresee whether a code has changed.
        changed[n], changes[n] = j, np.int16(codes[j]) - np.int16(remainders[j])
        n += codes[j] != remainders[j]
        remainders[j] = codes[j]
    return n


@njit(cache=True, nogil=True)
def _add_four_rows(q0, q1, q2, q3, changes, sums):
    d0, d1, d2, d3 = changes[0], changes[1], changes[2], changes[3]
    for m in range(sums.size):
        # Four products fit 16 bits (MAX_TAIL_BITS), of which twice as many lanes fit a vector.
        sums[m] += np.int16(q0[m] * d0 + q1[m] * d1 + q2[m] * d2 + q3[m] * d3)


@njit(cache=True, nogil=True)
def _put_sums(products, sums, code_values, out):
    for m in range(out.size):
        out[m] = products[m] + np.float32(sums[m]) * code_values[m]
