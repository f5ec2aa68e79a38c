"""Update of sums of products by the inputs that changed, column by column of the weights."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit

from archsim.kernels.arrays import F32, I32, Bools, check_shapes
from archsim.kernels.numerics.dense import add_column, add_four_columns
from archsim.kernels.numerics.integer_tiles import TILE, add_listed_pairs
from archsim.kernels.numerics.products import ROWS_AT_ONCE, ProductWeights
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
    n_x: int,
    weights: tuple[ProductWeights, ProductWeights],
    sums: I32,
    out: F32,
) -> None:
    """Add each entering column of codes, times the change of its input's code, to `sums`; write the products to `out`.

    values, propagated (B, N) float32: levels of `n_x` elements of x, then of h; skipped (B, N); weights of M
    products over x, and over h.
    sums (B, 2, tiles·TILE) int32, over x and over h; out (B, M). `propagated` becomes the value of each input that
    enters. The sums are integers, so they equal those of the propagated inputs however many changes have been added.
    """
    (B, N), (of_x, of_h) = values.shape, weights
    n_tiles, M = len(of_x.tiles), of_x.scales.size
    check_shapes(
        propagated=(propagated, (B, N)),
        skipped=(skipped, (B, N)),
        sums=(sums, (B, 2, n_tiles * TILE)),
        out=(out, (B, M)),
    )
    # Fields and not the named tuples themselves, which take numba longer than the sums of a small layer.
    x_codes, h_codes = (of_x.tiles, of_x.scales, of_x.spacing), (of_h.tiles, of_h.scales, of_h.spacing)
    _add_code_changes(values, propagated, skipped, n_x, *x_codes, *h_codes, sums, out)


@njit(cache=True, nogil=True)
def _add_code_changes(
    values, propagated, skipped, n_x, x_tiles, x_scales, x_spacing, h_tiles, h_scales, h_spacing, sums, out
):
    for first in range(0, values.shape[0], ROWS_AT_ONCE):
        rows = slice(first, first + ROWS_AT_ONCE)
        v, p, s = values[rows], propagated[rows], skipped[rows]
        _add_part(v, p, s, 0, n_x, x_tiles, x_spacing, sums[rows, 0])
        _add_part(v, p, s, n_x, v.shape[1], h_tiles, h_spacing, sums[rows, 1])
    for b in range(out.shape[0]):
        y, over_x, over_h = out[b], sums[b, 0], sums[b, 1]
        for m in range(y.size):
            # Each term is rounded once, to float32; their sum is that of any other policy.
            x_term = np.float32(x_scales[m] * np.float64(over_x[m]))
            y[m] = x_term + np.float32(h_scales[m] * np.float64(over_h[m]))


@njit(cache=True, nogil=True)
def _add_part(values, propagated, skipped, first, stop, tiles, spacing, sums):
    B, n_pairs = values.shape[0], tiles.shape[1]
    changes, entering = np.zeros((B, 2 * n_pairs), np.int16), np.empty((B, n_pairs), np.int32)
    n_entering = np.zeros(B, np.int64)
    for b in range(B):
        v, p, s, change = values[b, first:stop], propagated[b, first:stop], skipped[b, first:stop], changes[b]
        # All is written in either case, because a choice vectorises and a branch does not.
        for i in range(v.size):
            now, before = code_of(v[i], spacing), code_of(p[i], spacing)
            change[i] = np.int16(np.float32(0.0) if s[i] else now - before)
            p[i] = p[i] if s[i] else v[i]
        n = 0
        for pair in range(n_pairs):
            entering[b, n] = pair
            n += 1 if change[2 * pair] | change[2 * pair + 1] else 0
        n_entering[b] = n
    # Tiles are the outer loop, because one of them stays in the nearest cache for all rows.
    for tile in range(tiles.shape[0]):
        weights = tiles[tile].ctypes.data
        for b in range(B):
            codes, pairs, of_tile = changes[b].ctypes.data, entering[b].ctypes.data, sums[b, tile * TILE :].ctypes.data
            add_listed_pairs(codes, pairs, n_entering[b], weights, of_tile)


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
