"""Update of the low-bit tail: the sums of what has not entered the products, in codes of a few bits."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit

from archsim.kernels.arrays import F32, I8, I32, check_shapes


def update_tail(
    values: F32,
    propagated: F32,
    factors: F32,
    codes_per_unit: np.float32,
    largest: int,
    codes_t: I8,
    remainders: I8,
    sums: I32,
) -> None:
    """Make `sums` those of the codes of what has not entered, values - propagated.

    values, propagated (B, N) float32; factors (N,); codes_t (N, M) int8, one row per element; remainders (B, N) int8,
    the codes of the step before, which become those of this step, whole numbers in ±largest; sums (B, M) int32.
    Only the rows of elements whose code has changed are read. The sums are integers, so the order does not matter.
    """
    B, N = values.shape
    check_shapes(propagated=(propagated, (B, N)), factors=(factors, (N,)), remainders=(remainders, (B, N)))
    check_shapes(codes_t=(codes_t, (N, sums.shape[1])), sums=(sums, (B, sums.shape[1])))
    _update_tail(values, propagated, factors, codes_per_unit, np.float32(largest), codes_t, remainders, sums)


@njit(cache=True, nogil=True)
def _update_tail(values, propagated, factors, codes_per_unit, largest, codes_t, remainders, sums):
    # Changed elements are listed first, so that four of their rows can go through one sweep of the sums.
    N = values.shape[1]
    codes, changed, changes = np.empty(N, np.int8), np.empty(N, np.int64), np.zeros(N + 3, np.int16)
    for b in range(values.shape[0]):
        for j in range(N):
            # Both products are rounded, as SEMANTICS 1.4 has them.
            code = np.rint((values[b, j] - propagated[b, j]) * factors[j] * codes_per_unit)
            codes[j] = np.int8(min(max(code, -largest), largest))
        n = 0
        for j in range(N):
            # Written without a branch, because whether a code has changed cannot be foreseen.
            changed[n], changes[n] = j, np.int16(codes[j]) - np.int16(remainders[b, j])
            n += codes[j] != remainders[b, j]
            remainders[b, j] = codes[j]
        changes[n : n + 3] = 0  # the last sweep takes its last row up to three times more, times 0
        for i in range(0, n, 4):
            j0, j1 = changed[i], changed[min(i + 1, n - 1)]
            j2, j3 = changed[min(i + 2, n - 1)], changed[min(i + 3, n - 1)]
            _add_four_rows(codes_t[j0], codes_t[j1], codes_t[j2], codes_t[j3], changes[i : i + 4], sums[b])


@njit(cache=True, nogil=True)
def _add_four_rows(q0, q1, q2, q3, changes, sums):
    d0, d1, d2, d3 = changes[0], changes[1], changes[2], changes[3]
    for m in range(sums.size):
        # Four products fit 16 bits (MAX_TAIL_BITS), and twice as many lanes of those fit a vector.
        sums[m] += np.int32(np.int16(q0[m] * d0 + q1[m] * d1 + q2[m] * d2 + q3[m] * d3))
