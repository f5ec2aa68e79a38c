"""Dot products of all neurons of a layer, each a chain of fused multiply-adds in input order."""

from __future__ import annotations

from numba import njit

from archsim.kernels.arrays import F32
from archsim.kernels.intrinsics import fma


def accumulate_products(x: F32, weights_t: F32, out: F32) -> None:
    """Add `x @ weights_t` to `out`, element by element in the order of the inputs.

    x (B, N), weights_t (N, M), out (B, M), all float32. Neurons run side by side in vector lanes; the
    sum of one neuron is never split, so a result does not depend on B.
    """
    if x.shape[1] != weights_t.shape[0] or out.shape != (x.shape[0], weights_t.shape[1]):
        raise ValueError(f"need (B, N), (N, M), (B, M): got {x.shape}, {weights_t.shape}, {out.shape}")
    _accumulate_products(x, weights_t, out)


@njit(cache=True, nogil=True)
def _accumulate_products(x, weights_t, out):  # type: ignore[no-untyped-def]
    n_inputs = x.shape[1]
    n_unrolled = n_inputs - n_inputs % 4
    for b in range(x.shape[0]):
        y = out[b]
        # Four inputs a sweep: one load and one store of y for four multiply-adds.
        for i in range(0, n_unrolled, 4):
            x0, x1, x2, x3 = x[b, i], x[b, i + 1], x[b, i + 2], x[b, i + 3]
            w0, w1, w2, w3 = weights_t[i], weights_t[i + 1], weights_t[i + 2], weights_t[i + 3]
            for m in range(y.size):
                y[m] = fma(x3, w3[m], fma(x2, w2[m], fma(x1, w1[m], fma(x0, w0[m], y[m]))))
        for i in range(n_unrolled, n_inputs):
            for m in range(y.size):
                y[m] = fma(x[b, i], weights_t[i, m], y[m])
