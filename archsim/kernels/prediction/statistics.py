"""Statistics of neuron evaluations: histograms of relative change, moments of two products."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit

from archsim.kernels.arrays import F32, F64, I32, I64, check_shapes
from archsim.kernels.numerics.intrinsics import bits_of
from archsim.kernels.prediction.reuse_rule import relative_change

N_MOMENTS = 5
"""Number of moments: mean of a, mean of b, and the sums of the centred a², b² and a·b."""
_PREFIXES = (np.arange(1 << 15, dtype=np.uint32) << 16).view(np.float32)


def first_bins(edges: F32) -> I32:
    """Return the bin at which to start a search, by the upper 16 bits of a number, (32768,).

    It is the bin of the least number with these bits.
    """
    return np.searchsorted(edges, _PREFIXES, side="right").astype(np.int32)


def count_changes(now: F32, before: F32, edges: F32, starts: I32, counts: I64) -> None:
    """Count each |now - before| / |now| (SEMANTICS 1.4) into its bin.

    now, before (B, M) float32; edges (n,) float32, rising; starts is `first_bins(edges)`; counts (n + 1,) int64:
    `counts[0]` those below the first edge, `counts[i]` those in `[edges[i-1], edges[i])`, the last everything above.
    """
    check_shapes(before=(before, now.shape), starts=(starts, (1 << 15,)), counts=(counts, (edges.size + 1,)))
    _count_changes(now, before, edges, starts, counts)


def add_moments(a: I32, b: F32, n: int, moments: F64) -> int:
    """Add B pairs per column to running moments of `n` pairs (Welford); return the new n.

    a (B, M) int32, b (B, M) float32; moments (5, M) float64, zeros at n = 0.
    """
    check_shapes(b=(b, a.shape), moments=(moments, (N_MOMENTS, a.shape[1])))
    _add_moments(a, b, n, moments)
    return n + len(a)


def merge_moments(n: int, moments: F64, more: int, others: F64) -> tuple[int, F64]:
    """Return number and moments of two sets of pairs together (Chan, Golub, LeVeque 1979)."""
    total = n + more
    if total == 0:
        return 0, moments
    apart = others[:2] - moments[:2]
    merged = moments + others
    merged[:2] = moments[:2] + apart * (more / total)
    merged[2:] += np.stack([apart[0] ** 2, apart[1] ** 2, apart[0] * apart[1]]) * (n * more / total)
    return total, merged


@njit(cache=True, nogil=True)
def _count_changes(now, before, edges, starts, counts):
    for b in range(now.shape[0]):
        for m in range(now.shape[1]):
            change = relative_change(now[b, m], before[b, m])
            # A logarithm would be slower, and could put a change that equals an edge on its wrong side.
            bin_ = starts[bits_of(change) >> np.uint32(16)]
            while bin_ < edges.size and change >= edges[bin_]:
                bin_ += 1
            counts[bin_] += 1


@njit(cache=True, nogil=True)
def _add_moments(a, b, n, moments):
    mean_a, mean_b, aa, bb, ab = moments
    for row in range(a.shape[0]):
        share = 1.0 / (n + row + 1)
        for m in range(a.shape[1]):
            from_a = a[row, m] - mean_a[m]
            from_b = b[row, m] - mean_b[m]
            mean_a[m] += from_a * share
            mean_b[m] += from_b * share
            now_b = b[row, m] - mean_b[m]
            aa[m] += from_a * (a[row, m] - mean_a[m])
            bb[m] += from_b * now_b
            ab[m] += from_a * now_b
