"""Reuse decided within a step: what a pass watches of its neurons, and the rule of SEMANTICS 1.4."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from archsim.kernels.arrays import F32, I32, U64, Bools, check_shapes
from archsim.kernels.prediction.bitplanes import (
    WORD_BITS,
    add_code_products,
    add_ternary_products,
    put_codes,
    put_signs,
    put_ternary,
)
from archsim.kernels.prediction.reuse_rule import judge_change, judge_drift
from archsim.units import ceil_div

NOTHING, EXACT, SIGNS, CODES, TERNARY = range(5)
"""What is watched: nothing, so that nothing is reused; the exact products; or a small network's."""
WITHOUT_NETWORK = (NOTHING, EXACT)
"""Kinds that predict nothing, so that their deciders have no predictor network."""


class PredictorNetwork(NamedTuple):
    """The weights of a small network beside a layer, and how its inputs are quantised."""

    weights_t: U64
    """Their planes, (planes, words, G·H)."""
    x_step: np.float32
    h_step: np.float32
    """Between two codes, or the least magnitude that counts; signs have no use for them."""
    unit: F32
    """What 1 stands for in each neuron's prediction, (G·H,); empty where reused products are not corrected by it."""


NO_NETWORK = PredictorNetwork(np.zeros((1, 0, 0), np.uint64), np.float32(1), np.float32(1), np.zeros(0, np.float32))


class ReuseDecider(NamedTuple):
    """What decides reuse in a pass, and what it remembers of each sequence and neuron."""

    predictor_kind: int
    small: PredictorNetwork
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


def make_reuse_decider(
    predictor_kind: int,
    thresholds: F32,
    batch: int,
    n_units: int,
    small: PredictorNetwork = NO_NETWORK,
    *,
    n_inputs: int = 0,
    throttle: bool = True,
    guard: int = 0,
) -> ReuseDecider:
    """Return a decider that remembers nothing yet."""
    shape = (batch, thresholds.size, n_units) if small is not NO_NETWORK else (0, 0, 0)
    planes = np.zeros((small.weights_t.shape[0], batch, ceil_div(n_inputs, WORD_BITS)), np.uint64)
    now, memo = np.zeros((2, *shape), np.int32)
    drift = np.zeros(shape, np.float32)
    return ReuseDecider(predictor_kind, small, n_inputs, thresholds, throttle, guard, planes, now, memo, drift)


def check_reuse_decider(decider: ReuseDecider, batch: int, n_gates: int, n_units: int, n_inputs: int) -> None:
    """Raise ValueError where a decider is not one for a pass of this shape: kernels do not look."""
    check_shapes(thresholds=(decider.thresholds, (n_gates,)))
    if decider.predictor_kind in WITHOUT_NETWORK:
        return
    small, shape = decider.small, (batch, n_gates, n_units)
    check_shapes(now=(decider.now, shape), memo=(decider.memo, shape), drift=(decider.drift, shape))
    n_planes, n_words = small.weights_t.shape[0], ceil_div(n_inputs, WORD_BITS)
    check_shapes(planes=(decider.planes, (n_planes, batch, n_words)))
    check_shapes(weights_t=(small.weights_t, (n_planes, n_words, n_gates * n_units)))
    if decider.n_inputs != n_inputs:
        raise ValueError(f"n_inputs = {decider.n_inputs}, need {n_inputs}")
    if small.unit.size:
        check_shapes(unit=(small.unit, (n_gates * n_units,)))


def decide(decider: ReuseDecider, index: int, x: F32, h: F32, products: F32, memo: F32) -> Bools:
    """Return which neurons reuse their memo, (B, G, H), at step `index`, and bring the decider up to date.

    x (B, I), h (B, H); products and their memo (B, P, H), which only the exact one looks at.
    """
    n_sequences, n_gates, n_units = len(x), decider.thresholds.size, h.shape[1]
    began_with = len(decider.now) if decider.predictor_kind not in WITHOUT_NETWORK else n_sequences
    check_reuse_decider(decider, began_with, n_gates, n_units, x.shape[1] + n_units)
    if n_sequences > began_with:
        raise ValueError(f"step {index} has {n_sequences} sequences, the pass began with {began_with}")
    reused = np.empty((n_sequences, n_gates, n_units), np.bool_)
    decide_step(decider, index, x, h, products, memo, reused)
    return reused


@njit(cache=True, nogil=True)
def decide_step(decider, index, x, h, products, memo_products, reused):
    """The same, into `reused`; for kernels."""
    reused[:] = False
    if decider.predictor_kind == EXACT and index > 0:
        _decide_exactly(products, memo_products, decider.thresholds, reused)
    if decider.predictor_kind in WITHOUT_NETWORK:
        return
    B = x.shape[0]
    now, memo, drift = decider.now[:B], decider.memo[:B], decider.drift[:B]
    _predict(decider, x, h, now.reshape(B, -1))
    if index == 0 or (decider.guard > 0 and index % decider.guard == 0):
        memo[:] = now
        drift[:] = np.float32(0.0)
    else:
        # Drift is summed, not compared step by step: a slow ramp would otherwise be reused for ever.
        judge_drift(now, memo, drift, decider.thresholds, decider.throttle, reused)


@njit(cache=True, nogil=True)
def correct_step(decider, products, reused, gate_of_product):
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
def _decide_exactly(products, memo, thresholds, reused):
    # A GRU's candidate is the sum of its last two products.
    n_gates = thresholds.size
    if products.shape[1] == n_gates:
        judge_change(products, memo, thresholds, reused)
        return
    judge_change(products[:, : n_gates - 1], memo[:, : n_gates - 1], thresholds, reused)
    now = products[:, n_gates - 1 : n_gates] + products[:, n_gates : n_gates + 1]
    before = memo[:, n_gates - 1 : n_gates] + memo[:, n_gates : n_gates + 1]
    judge_change(now, before, thresholds[n_gates - 1 :], reused[:, n_gates - 1 :])


@njit(cache=True, nogil=True)
def _predict(decider, x, h, out):
    B, n_x = x.shape
    small, planes = decider.small, decider.planes[:, :B]
    x_steps, h_steps = np.full(B, small.x_step, np.float32), np.full(B, small.h_step, np.float32)
    planes[:] = np.uint64(0)
    if decider.predictor_kind == TERNARY:
        put_ternary(x, x_steps, planes, 0)
        put_ternary(h, h_steps, planes, n_x)
        out[:] = np.int32(0)
        add_ternary_products(planes, small.weights_t, out)
        return
    if decider.predictor_kind == SIGNS:
        put_signs(x, planes[0], 0)
        put_signs(h, planes[0], n_x)
    else:
        put_codes(x, x_steps, planes, 0)
        put_codes(h, h_steps, planes, n_x)
    largest = (1 << planes.shape[0]) - 1
    out[:] = np.int32(decider.n_inputs * largest * largest)
    add_code_products(planes, small.weights_t, out)
