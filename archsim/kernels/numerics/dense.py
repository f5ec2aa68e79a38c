"""Dot products of all neurons of a layer, each a chain of fused multiply-adds in input order."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from numba import njit

from archsim.kernels.arrays import F32
from archsim.kernels.numerics.intrinsics import fma


def accumulate_products(x: F32, weights_t: F32, out: F32) -> None:
    """Add `x @ weights_t` to `out`, element by element in the order of the inputs.

    x (B, N), weights_t (N, M), out (B, M), all float32. Vector lanes hold different neurons, and the sum of one neuron
    is never split, so a result does not depend on B.
    """
    if x.shape[1] != weights_t.shape[0] or out.shape != (x.shape[0], weights_t.shape[1]):
        raise ValueError(f"need (B, N), (N, M), (B, M): got {x.shape}, {weights_t.shape}, {out.shape}")
    add_products(x, weights_t, out)


@njit(cache=True, nogil=True)
def add_products(x, weights_t, out):
    """Add products as `accumulate_products` does, unchecked; for kernels."""
    n_tiled = x.shape[0] - x.shape[0] % 4
    for b in range(0, n_tiled, 4):
        _accumulate_four_rows(x[b : b + 4], weights_t, out[b : b + 4])
    for b in range(n_tiled, x.shape[0]):
        _accumulate_row(x[b], weights_t, out[b], 0)


@njit(cache=True, nogil=True)
def _accumulate_four_rows(x, weights_t, out):
    # Four inputs of four rows per sweep, because then a weight is loaded once for four rows, a sum once for four terms.
    n_tiled = x.shape[1] - x.shape[1] % 4
    y0, y1, y2, y3 = out[0], out[1], out[2], out[3]
    for i in range(0, n_tiled, 4):
        w0, w1, w2, w3 = weights_t[i], weights_t[i + 1], weights_t[i + 2], weights_t[i + 3]
        a0, a1, a2, a3 = x[0, i], x[0, i + 1], x[0, i + 2], x[0, i + 3]
        b0, b1, b2, b3 = x[1, i], x[1, i + 1], x[1, i + 2], x[1, i + 3]
        c0, c1, c2, c3 = x[2, i], x[2, i + 1], x[2, i + 2], x[2, i + 3]
        d0, d1, d2, d3 = x[3, i], x[3, i + 1], x[3, i + 2], x[3, i + 3]
        for m in range(y0.size):
            # All are read before anything is written; otherwise each row would read the weights again, because
            # the compiler cannot know that a write to y leaves them alone.
            v0, v1, v2, v3 = w0[m], w1[m], w2[m], w3[m]
            s0 = fma(a3, v3, fma(a2, v2, fma(a1, v1, fma(a0, v0, y0[m]))))
            s1 = fma(b3, v3, fma(b2, v2, fma(b1, v1, fma(b0, v0, y1[m]))))
            s2 = fma(c3, v3, fma(c2, v2, fma(c1, v1, fma(c0, v0, y2[m]))))
            s3 = fma(d3, v3, fma(d2, v2, fma(d1, v1, fma(d0, v0, y3[m]))))
            y0[m], y1[m], y2[m], y3[m] = s0, s1, s2, s3
    for row in range(4):
        _accumulate_row(x[row], weights_t, out[row], n_tiled)


@njit(cache=True, nogil=True)
def _accumulate_row(x, weights_t, y, first):
    n_tiled = first + (x.size - first) // 4 * 4
    for i in range(first, n_tiled, 4):
        add_four_columns(weights_t[i], weights_t[i + 1], weights_t[i + 2], weights_t[i + 3], x[i : i + 4], y)
    for i in range(n_tiled, x.size):
        add_column(weights_t[i], x[i], y)


@njit(cache=True, nogil=True)
def add_four_columns(w0, w1, w2, w3, x, y):
    """Add four columns of weights (M,), times x (4,), to y (M,) in this order; for kernels."""
    x0, x1, x2, x3 = x[0], x[1], x[2], x[3]
    for m in range(y.size):
        y[m] = fma(x3, w3[m], fma(x2, w2[m], fma(x1, w1[m], fma(x0, w0[m], y[m]))))


@njit(cache=True, nogil=True)
def add_column(w, x, y):
    """Add w (M,) times x to y (M,); for kernels."""
    for m in range(y.size):
        y[m] = fma(x, w[m], y[m])
