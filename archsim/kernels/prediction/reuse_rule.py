"""The reuse rule of SEMANTICS 1.4 and the memo of neuron products."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit

from archsim.kernels.arrays import F32, I32, I64, Bools, check_shapes
from archsim.kernels.numerics.fp16 import fp16_rounded


def decide_by_drift(now: I32, memo: I32, drift: F32, thresholds: F32, throttle: bool, out: Bools) -> None:
    """Decide reuse from integer predictions and bring their memo up to date.

    now, memo (B, G, H) int32; drift (B, G, H) float32; thresholds (G,) float32; out (B, G, H), True = reuse.
    Where a neuron is to be evaluated, `memo` becomes `now` and its drift starts again at zero.
    """
    shape = now.shape
    check_shapes(memo=(memo, shape), drift=(drift, shape), thresholds=(thresholds, shape[1:2]), out=(out, shape))
    judge_drift(now, memo, drift, thresholds, throttle, out)


def apply_memo(
    products: F32, memo: F32, reused: Bools, gate_of_product: I64, fp16: bool, correction: F32 | None = None
) -> None:
    """Replace products of reused neurons by their memo; store the others, rounded to binary16 if `as_half`.

    products, memo (B, P, H) float32; reused (B, G, H); gate_of_product (P,): which decision rules a product.
    correction (B, G, H) float32: where reused, added to the first product of each gate, not to its memo.
    """
    B, P, H = products.shape
    G = int(gate_of_product.max()) + 1
    check_shapes(memo=(memo, products.shape), reused=(reused, (B, G, H)), gate_of_product=(gate_of_product, (P,)))
    recall(products, memo, reused, gate_of_product, fp16)
    if correction is not None:
        check_shapes(correction=(correction, reused.shape))
        products[:, np.searchsorted(gate_of_product, np.arange(G))] += np.where(reused, correction, np.float32(0))


@njit(cache=True, nogil=True, error_model="numpy")
def relative_change(now, memo):
    """ε of SEMANTICS 1.4, for kernels."""
    # With numpy's error model x / 0 is infinite, as the semantics have it; only 0 / 0 needs a word.
    change = abs(np.float32(now) - np.float32(memo)) / abs(np.float32(now))
    return change if now != memo else np.float32(0.0)


@njit(cache=True, nogil=True)
def judge_drift(now, memo, drift, thresholds, throttle, out):
    """`decide_by_drift`, for kernels."""
    for b in range(now.shape[0]):
        for g in range(now.shape[1]):
            for n in range(now.shape[2]):
                change = relative_change(now[b, g, n], memo[b, g, n])
                total = drift[b, g, n] + change if throttle else change
                reuse = total <= thresholds[g]
                out[b, g, n] = reuse
                drift[b, g, n] = total if reuse else np.float32(0.0)
                memo[b, g, n] = memo[b, g, n] if reuse else now[b, g, n]


@njit(cache=True, nogil=True)
def judge_change(now, memo, thresholds, out):
    """Reuse where the relative change of `now` against `memo` is at most the threshold, no drift; for kernels.

    now, memo (B, G, H) float32; thresholds (G,) float32; out (B, G, H), True = reuse.
    """
    for b in range(now.shape[0]):
        for g in range(now.shape[1]):
            for n in range(now.shape[2]):
                out[b, g, n] = relative_change(now[b, g, n], memo[b, g, n]) <= thresholds[g]


@njit(cache=True, nogil=True)
def recall(products, memo, reused, gate_of_product, fp16):
    """`apply_memo` without correction, for kernels."""
    for b in range(products.shape[0]):
        for p in range(products.shape[1]):
            y, m, r = products[b, p], memo[b, p], reused[b, gate_of_product[p]]
            # Both are written in either case: a choice runs in vector lanes, a branch does not.
            for n in range(y.size):
                now, held = y[n], m[n]
                y[n] = held if r[n] else now
                m[n] = held if r[n] else (fp16_rounded(now) if fp16 else now)
