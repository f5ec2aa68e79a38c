"""Reuse decided within a step: what a pass watches of its neurons, and the rule of SEMANTICS 1.4."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from archsim.kernels.arrays import F32, I32, U64, Bools
from archsim.kernels.binary import (
    WORD_BITS,
    _code_products,
    _pack_codes,
    _pack_signs,
    _pack_ternary,
    _ternary_products,
)
from archsim.kernels.reuse import _decide_by_change, _decide_by_drift
from archsim.units import ceil_div

NOTHING, EXACT, SIGNS, CODES, TERNARY = range(5)
"""What is watched: nothing, so that nothing is reused; the exact products; or a small network's."""


class Small(NamedTuple):
    """The weights of a small network beside a layer, and how its inputs are quantised."""

    weights_t: U64
    """Their planes, (planes, words, G·H)."""
    x_step: np.float32
    h_step: np.float32
    """Between two codes, or the least magnitude that counts; signs have no use for them."""
    unit: F32
    """What 1 stands for in each neuron's prediction, (G·H,); empty where reused products are not corrected by it."""


NO_NETWORK = Small(np.zeros((1, 0, 0), np.uint64), np.float32(1), np.float32(1), np.zeros(0, np.float32))


class Decider(NamedTuple):
    """What decides reuse in a pass, and what it remembers of each sequence and neuron."""

    watches: int
    small: Small
    n_inputs: int
    thresholds: F32
    """(G,)."""
    throttle: bool
    """Whether changes are summed over consecutive reuses."""
    guard: int
    """Evaluate everything every so many steps; 0 for never."""
    planes: U64
    """Inputs of the step as the small network takes them, (planes, B, words)."""
    now: I32
    """Predictions of the step, (B, G, H)."""
    memo: I32
    """Predictions when last evaluated."""
    drift: F32
    """Sum of changes since."""


def make_decider(
    watches: int,
    thresholds: F32,
    batch: int,
    n_units: int,
    small: Small = NO_NETWORK,
    *,
    n_inputs: int = 0,
    throttle: bool = True,
    guard: int = 0,
) -> Decider:
    """Return a decider that remembers nothing yet."""
    shape = (batch, thresholds.size, n_units) if small is not NO_NETWORK else (0, 0, 0)
    planes = np.zeros((small.weights_t.shape[0], batch, ceil_div(n_inputs, WORD_BITS)), np.uint64)
    now, memo = np.zeros((2, *shape), np.int32)
    drift = np.zeros(shape, np.float32)
    return Decider(watches, small, n_inputs, thresholds, throttle, guard, planes, now, memo, drift)


def decide(decider: Decider, index: int, x: F32, h: F32, products: F32, memo: F32) -> Bools:
    """Return which neurons reuse their memo, (B, G, H), at step `index`, and bring the decider up to date.

    x (B, I), h (B, H); products and their memo (B, P, H), which only the exact one looks at.
    """
    reused = np.empty((x.shape[0], decider.thresholds.size, h.shape[1]), np.bool_)
    decide_step(decider, index, x, h, products, memo, reused)
    return reused


@njit(cache=True, nogil=True)
def decide_step(decider, index, x, h, products, memo_products, reused):  # type: ignore[no-untyped-def]
    """The same, into `reused`; for kernels."""
    reused[:] = False
    if decider.watches == EXACT and index > 0:
        _decide_exactly(products, memo_products, decider.thresholds, reused)
    if decider.watches < SIGNS:
        return
    B = x.shape[0]
    now, memo, drift = decider.now[:B], decider.memo[:B], decider.drift[:B]
    _predict(decider, x, h, now.reshape(B, -1))
    if index == 0 or (decider.guard > 0 and index % decider.guard == 0):
        memo[:] = now
        drift[:] = np.float32(0.0)
    else:
        # Drift is summed, not compared step by step: a slow ramp would otherwise be reused for ever.
        _decide_by_drift(now, memo, drift, decider.thresholds, decider.throttle, reused)


@njit(cache=True, nogil=True)
def correct_step(decider, products, reused, gate_of_product):  # type: ignore[no-untyped-def]
    """Add the change of the prediction, in its unit, to the first product of each reused neuron; for kernels."""
    for b in range(products.shape[0]):
        for p in range(products.shape[1]):
            g = gate_of_product[p]
            if p > 0 and g == gate_of_product[p - 1]:
                continue
            for n in range(products.shape[2]):
                if reused[b, g, n]:
                    change = np.float32(decider.now[b, g, n] - decider.memo[b, g, n])
                    products[b, p, n] += change * decider.small.unit[g * products.shape[2] + n]


@njit(cache=True, nogil=True)
def _decide_exactly(products, memo, thresholds, reused):  # type: ignore[no-untyped-def]
    # A GRU's candidate is the sum of its last two products.
    n_gates = thresholds.size
    if products.shape[1] == n_gates:
        _decide_by_change(products, memo, thresholds, reused)
        return
    _decide_by_change(products[:, : n_gates - 1], memo[:, : n_gates - 1], thresholds, reused)
    now = products[:, n_gates - 1 : n_gates] + products[:, n_gates : n_gates + 1]
    before = memo[:, n_gates - 1 : n_gates] + memo[:, n_gates : n_gates + 1]
    _decide_by_change(now, before, thresholds[n_gates - 1 :], reused[:, n_gates - 1 :])


@njit(cache=True, nogil=True)
def _predict(decider, x, h, out):  # type: ignore[no-untyped-def]
    B, n_x = x.shape
    small, planes = decider.small, decider.planes[:, :B]
    x_steps, h_steps = np.full(B, small.x_step, np.float32), np.full(B, small.h_step, np.float32)
    planes[:] = np.uint64(0)
    if decider.watches == SIGNS:
        _pack_signs(x, planes[0], 0)
        _pack_signs(h, planes[0], n_x)
    elif decider.watches == CODES:
        _pack_codes(x, x_steps, planes, 0)
        _pack_codes(h, h_steps, planes, n_x)
    else:
        _pack_ternary(x, x_steps, planes, 0)
        _pack_ternary(h, h_steps, planes, n_x)
        out[:] = np.int32(0)
        _ternary_products(planes, small.weights_t, out)
        return
    largest = (1 << planes.shape[0]) - 1
    out[:] = np.int32(decider.n_inputs * largest * largest)
    _code_products(planes, small.weights_t, out)
