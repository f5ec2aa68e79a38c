"""Update of sums of products by the inputs that changed, column by column of the weights."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit

from archsim.kernels.arrays import F32, I16, I32, Bools, check_shapes
from archsim.kernels.numerics.dense import add_column, add_four_columns
from archsim.kernels.numerics.rounding import code_of


def add_changes(values: F32, propagated: F32, skipped: Bools, weights_t: F32, sums: F32) -> None:
    """Add each entering column of weights, times the change of its input, to `sums`.

    values, propagated (B, N) float32; skipped (B, N); weights_t (N, M) float32; sums (B, M) float32. `propagated`
    becomes the value of each input that enters. A sum takes its terms in the order of the inputs, whatever B is. It is
    rounded at each of them as in the machine's accumulators, so it drifts from the dense product as changes add up.
    """
    shape = values.shape
    M = weights_t.shape[1]
    check_shapes(propagated=(propagated, shape), skipped=(skipped, shape), weights_t=(weights_t, (shape[1], M)))
    check_shapes(sums=(sums, (shape[0], M)))
    _add_changes(values, propagated, skipped, weights_t, sums)


def add_code_changes(
    values: F32,
    propagated: F32,
    skipped: Bools,
    codes: I16,
    n_x: int,
    spacings: tuple[np.float32, np.float32],
    sums: I32,
) -> None:
    """Add each entering row of codes of weights, times the change of its input's code, to the sums of x or of h.

    values, propagated (B, N) float32: levels of x, which has `n_x` elements, and of h, `spacings` apart.
    skipped (B, N); codes (N, M); sums (2, B, M). `propagated` becomes the value of each input that enters. The sums are
    integers, so they equal those of the propagated inputs however many changes have been added.
    """
    shape, M = values.shape, codes.shape[1]
    check_shapes(propagated=(propagated, shape), skipped=(skipped, shape), codes=(codes, (shape[1], M)))
    check_shapes(sums=(sums, (2, shape[0], M)))
    _add_code_changes(values, propagated, skipped, codes, n_x, *spacings, sums)


@njit(cache=True, nogil=True)
def _add_code_changes(values, propagated, skipped, codes, n_x, x_spacing, h_spacing, sums):
    _add_part(values, propagated, skipped, codes, 0, n_x, x_spacing, sums[0])
    _add_part(values, propagated, skipped, codes, n_x, values.shape[1], h_spacing, sums[1])


@njit(cache=True, nogil=True)
def _add_part(values, propagated, skipped, codes, first, stop, spacing, sums):
    # Entering rows are listed first, so that four of them can go through one sweep of the sums.
    entering = np.empty(stop - first, np.int64)
    changes = np.zeros(stop - first + 3, np.int32)
    for b in range(values.shape[0]):
        n = 0
        for i in range(first, stop):
            if not skipped[b, i]:
                before, now = code_of(propagated[b, i], spacing), code_of(values[b, i], spacing)
                entering[n], changes[n] = i, np.int32(now - before)
                propagated[b, i] = values[b, i]
                n += 1
        changes[n : n + 3] = 0  # the last sweep takes its last row up to three times more, times 0
        for j in range(0, n, 4):
            i0, i1 = entering[j], entering[min(j + 1, n - 1)]
            i2, i3 = entering[min(j + 2, n - 1)], entering[min(j + 3, n - 1)]
            _add_four_rows(codes[i0], codes[i1], codes[i2], codes[i3], changes[j : j + 4], sums[b])


@njit(cache=True, nogil=True)
def _add_four_rows(w0, w1, w2, w3, changes, sums):
    c0, c1, c2, c3 = changes[0], changes[1], changes[2], changes[3]
    for m in range(sums.size):
        a = np.int32(w0[m]) * c0 + np.int32(w1[m]) * c1
        sums[m] += a + np.int32(w2[m]) * c2 + np.int32(w3[m]) * c3


@njit(cache=True, nogil=True)
def _add_changes(values, propagated, skipped, weights_t, sums):
    # Entering columns are listed first, so that four of them can go through one sweep of the sums.
    entering = np.empty(values.shape[1], np.int64)
    changes = np.empty(values.shape[1], np.float32)
    for b in range(values.shape[0]):
        n = 0
        for i in range(values.shape[1]):
            if not skipped[b, i]:
                entering[n], changes[n] = i, values[b, i] - propagated[b, i]
                propagated[b, i] = values[b, i]
                n += 1
        n_tiled = n - n % 4
        for j in range(0, n_tiled, 4):
            i0, i1, i2, i3 = entering[j], entering[j + 1], entering[j + 2], entering[j + 3]
            add_four_columns(weights_t[i0], weights_t[i1], weights_t[i2], weights_t[i3], changes[j : j + 4], sums[b])
        for j in range(n_tiled, n):
            add_column(weights_t[entering[j]], changes[j], sums[b])
