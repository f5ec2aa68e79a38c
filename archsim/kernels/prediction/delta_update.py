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
    values: F32, propagated: F32, skipped: Bools, inputs: slice, codes: I16, spacing: np.float32, sums: I32
) -> None:
    """Add each entering row of codes of weights, times the change of its input's code, to `sums`.

    values, propagated (B, N) float32, levels `spacing` apart; skipped (B, N); codes (N, M); sums (B, M) of the inputs
    in the range `inputs`. `propagated` becomes the value of each input that enters. The sums are integers, so they
    equal those of the propagated inputs however many changes have been added.
    """
    shape = values.shape
    check_shapes(propagated=(propagated, shape), skipped=(skipped, shape), codes=(codes, (shape[1], sums.shape[1])))
    check_shapes(sums=(sums, (shape[0], codes.shape[1])))
    _add_code_changes(values, propagated, skipped, inputs.start, inputs.stop, codes, spacing, sums)


@njit(cache=True, nogil=True)
def _add_code_changes(values, propagated, skipped, first, stop, codes, spacing, sums):
    for b in range(values.shape[0]):
        for i in range(first, stop):
            if not skipped[b, i]:
                change = np.int32(code_of(values[b, i], spacing)) - np.int32(code_of(propagated[b, i], spacing))
                propagated[b, i] = values[b, i]
                _add_codes(codes[i], np.int32(change), sums[b])


@njit(cache=True, nogil=True)
def _add_codes(codes, change, sums):
    for m in range(sums.size):
        sums[m] += np.int32(codes[m]) * change


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
