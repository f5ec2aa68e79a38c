"""The reuse rule of SEMANTICS 1.4 and the memo of neuron products."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit

from archsim.kernels.arrays import F32, I32, I64, Bools, check_shapes
from archsim.kernels.numerics.fp16 import fp16_rounded


def decide_by_drift(now: I32, memo: I32, drift: F32, thresholds: F32, throttle: bool, out: Bools) -> None:
    """Decide reuse from integer predictor outputs and update their memo (SEMANTICS 1.4).

    now, memo (B, G, H) int32; drift (B, G, H) float32; thresholds (G,) float32; out (B, G, H), True = reuse.
    For a neuron to evaluate, `memo` becomes `now` and its drift becomes 0.
    """
    shape = now.shape
    check_shapes(memo=(memo, shape), drift=(drift, shape), thresholds=(thresholds, shape[1:2]), out=(out, shape))
    decide_by_summed_drift(now, memo, drift, thresholds, throttle, out)


def apply_memo(
    products: F32, memo: F32, reused: Bools, gate_of_product: I64, fp16: bool, correction: F32 | None = None
) -> None:
    """Replace products of reused neurons by their memo; store the others, rounded to binary16 if `fp16`.

    products, memo (B, P, H) float32; reused (B, G, H); gate_of_product (P,): gate whose decision holds for a product.
    correction (B, G, H) float32: where reused, added to the first product of each gate, not to its memo.
    """
    B, P, H = products.shape
    G = int(gate_of_product.max()) + 1
    check_shapes(memo=(memo, products.shape), reused=(reused, (B, G, H)), gate_of_product=(gate_of_product, (P,)))
    recall_memo(products, memo, reused, gate_of_product, fp16)
    if correction is not None:
        check_shapes(correction=(correction, reused.shape))
        products[:, np.searchsorted(gate_of_product, np.arange(G))] += np.where(reused, correction, np.float32(0))


@njit(cache=True, nogil=True, error_model="numpy")
def relative_change(now, memo):
    """Return ε, the relative change of SEMANTICS 1.4; for kernels."""
    # numpy's error model gives infinity for x / 0, as SEMANTICS 1.4 asks; only 0 / 0 has to be set to 0.
    change = abs(np.float32(now) - np.float32(memo)) / abs(np.float32(now))
    return change if now != memo else np.float32(0.0)


@njit(cache=True, nogil=True)
def decide_by_summed_drift(now, memo, drift, thresholds, throttle, out):
    """Decide as `decide_by_drift` does, unchecked; for kernels."""
    for b in range(now.shape[0]):
        for g in range(now.shape[1]):
            for n in range(now.shape[2]):
                change = relative_change(now[b, g, n], memo[b, g, n])
                total = drift[b, g, n] + change if throttle else change  # δ + ε
                reuse = total <= thresholds[g]
                out[b, g, n] = reuse
                drift[b, g, n] = total if reuse else np.float32(0.0)
                memo[b, g, n] = memo[b, g, n] if reuse else now[b, g, n]


@njit(cache=True, nogil=True)
def decide_by_change(now, memo, thresholds, out):
    """Decide reuse from the relative change of each product alone, without drift; for kernels.

    now, memo (B, G, H) float32; thresholds (G,) float32; out (B, G, H), True = reuse.
    """
    for b in range(now.shape[0]):
        for g in range(now.shape[1]):
            for n in range(now.shape[2]):
                out[b, g, n] = relative_change(now[b, g, n], memo[b, g, n]) <= thresholds[g]


@njit(cache=True, nogil=True)
def recall_memo(products, memo, reused, gate_of_product, fp16):
    """Apply the memo as `apply_memo` does, without correction and unchecked; for kernels."""
    for b in range(products.shape[0]):
        for p in range(products.shape[1]):
            y, m, r = products[b, p], memo[b, p], reused[b, gate_of_product[p]]
            # Both are written in either case, because a choice vectorises and a branch does not.
            for n in range(y.size):
                now, held = y[n], m[n]
                y[n] = held if r[n] else now
                m[n] = held if r[n] else (fp16_rounded(now) if fp16 else now)
