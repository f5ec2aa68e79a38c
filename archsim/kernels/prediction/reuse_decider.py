"""Reuse decisions within a step, from exact products or from a predictor network (SEMANTICS 1.3 and 1.4)."""

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
    put_signs_above,
    put_ternary,
)
from archsim.kernels.prediction.reuse_rule import decide_by_change, decide_by_summed_drift
from archsim.units import ceil_div

NOTHING, EXACT, SIGNS, CODES, TERNARY = range(5)
"""Kinds of predictors: none, so that nothing is reused; exact products; networks of signs, codes or ternary codes."""
WITHOUT_NETWORK = (NOTHING, EXACT)
"""Kinds that predict nothing, so that their deciders have no predictor network."""


class PredictorNetwork(NamedTuple):
    """Weights of a predictor network beside a layer, and the quantiser of its inputs."""

    weights_t: U64
    """Bit planes of the weights, (planes, words, G·H)."""
    x_spacing: np.float32
    """Level spacing of codes of x; for ternary, the smallest magnitude whose code is not 0. Unused for signs."""
    h_spacing: np.float32
    """Level spacing of codes of h, or smallest magnitude, as for x."""
    correction_scale: F32
    """Factor from predictor output to dot product per neuron, (G·H,); empty unless reused products are corrected."""

    sign_levels: F32
    """Least value of each element of [x; h] whose sign bit is 1, (N,); empty where that is 0 for all of them."""


NO_CORRECTION: F32 = np.zeros(0, np.float32)
NO_LEVELS: F32 = np.zeros(0, np.float32)
NO_NETWORK = PredictorNetwork(np.zeros((1, 0, 0), np.uint64), np.float32(1), np.float32(1), NO_CORRECTION, NO_LEVELS)


class ReuseDecider(NamedTuple):
    """Predictor, θ and memo that decide reuse in a pass; kernels update the arrays in place."""

    predictor_kind: int
    network: PredictorNetwork
    n_inputs: int
    """N = I + R."""
    thresholds: F32
    """θ per gate, (G,)."""
    throttle: bool
    """Whether changes are summed over consecutive reuses."""
    guard: int
    """Steps from one evaluation of all neurons to the next; 0 for never."""
    planes: U64
    """Bit planes of the step's inputs, (planes, B, words)."""
    now: I32
    """Predictor outputs of the step, (B, G, H)."""
    memo: I32
    """Predictor outputs at the step that last evaluated the neuron, (B, G, H)."""
    drift: F32
    """δ: sum of relative changes since then, (B, G, H)."""


def make_reuse_decider(
    predictor_kind: int,
    thresholds: F32,
    batch: int,
    n_units: int,
    network: PredictorNetwork = NO_NETWORK,
    *,
    n_inputs: int = 0,
    throttle: bool = True,
    guard: int = 0,
) -> ReuseDecider:
    """Return a decider with an empty memo."""
    shape = (batch, thresholds.size, n_units) if network is not NO_NETWORK else (0, 0, 0)
    planes = np.zeros((network.weights_t.shape[0], batch, ceil_div(n_inputs, WORD_BITS)), np.uint64)
    now, memo = np.zeros((2, *shape), np.int32)
    drift = np.zeros(shape, np.float32)
    return ReuseDecider(predictor_kind, network, n_inputs, thresholds, throttle, guard, planes, now, memo, drift)


def check_reuse_decider(decider: ReuseDecider, batch: int, n_gates: int, n_units: int, n_inputs: int) -> None:
    """Raise ValueError for a decider that does not fit a pass of this shape, because kernels do not check."""
    check_shapes(thresholds=(decider.thresholds, (n_gates,)))
    if decider.predictor_kind in WITHOUT_NETWORK:
        return
    network, shape = decider.network, (batch, n_gates, n_units)
    check_shapes(now=(decider.now, shape), memo=(decider.memo, shape), drift=(decider.drift, shape))
    n_planes, n_words = network.weights_t.shape[0], ceil_div(n_inputs, WORD_BITS)
    check_shapes(planes=(decider.planes, (n_planes, batch, n_words)))
    check_shapes(weights_t=(network.weights_t, (n_planes, n_words, n_gates * n_units)))
    if decider.n_inputs != n_inputs:
        raise ValueError(f"n_inputs = {decider.n_inputs}, need {n_inputs}")
    if network.sign_levels.size:
        check_shapes(sign_levels=(network.sign_levels, (n_inputs,)))
    if network.correction_scale.size:
        check_shapes(correction_scale=(network.correction_scale, (n_gates * n_units,)))


def decide(decider: ReuseDecider, index: int, x: F32, h: F32, products: F32, memo: F32) -> Bools:
    """Return which neurons reuse their memo, (B, G, H), at step `index`, and update the decider.

    x (B, I), h (B, R); products and their memo (B, P, H) are read by the exact predictor only.
    """
    n_sequences, n_gates, n_units = len(x), decider.thresholds.size, products.shape[2]
    began_with = len(decider.now) if decider.predictor_kind not in WITHOUT_NETWORK else n_sequences
    check_reuse_decider(decider, began_with, n_gates, n_units, x.shape[1] + h.shape[1])
    if n_sequences > began_with:
        raise ValueError(f"step {index} has {n_sequences} sequences, the pass began with {began_with}")
    reused = np.empty((n_sequences, n_gates, n_units), np.bool_)
    decide_step(decider, index, x, h, products, memo, reused)
    return reused


@njit(cache=True, nogil=True)
def decide_step(decider, index, x, h, products, memo_products, reused):
    """Write the decisions that `decide` returns into `reused` (B, G, H); for kernels."""
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
        # Changes are summed, because a slow ramp compared step by step would be reused for ever.
        decide_by_summed_drift(now, memo, drift, decider.thresholds, decider.throttle, reused)


@njit(cache=True, nogil=True)
def correct_step(decider, products, reused, gate_of_product):
    """Add the scaled change of the predictor's output to the first product of each reused neuron; for kernels."""
    for b in range(products.shape[0]):
        for p in range(products.shape[1]):
            g = gate_of_product[p]
            if p > 0 and g == gate_of_product[p - 1]:  # the second product of a gate
                continue
            for n in range(products.shape[2]):
                if reused[b, g, n]:
                    change = np.float32(decider.now[b, g, n] - decider.memo[b, g, n])
                    products[b, p, n] += change * decider.network.correction_scale[g * products.shape[2] + n]


@njit(cache=True, nogil=True)
def _decide_exactly(products, memo, thresholds, reused):
    # Only the last gate may have two products, a GRU's candidate; its exact product is their sum.
    n_gates = thresholds.size
    if products.shape[1] == n_gates:
        decide_by_change(products, memo, thresholds, reused)
        return
    decide_by_change(products[:, : n_gates - 1], memo[:, : n_gates - 1], thresholds, reused)
    now = products[:, n_gates - 1 : n_gates] + products[:, n_gates : n_gates + 1]
    before = memo[:, n_gates - 1 : n_gates] + memo[:, n_gates : n_gates + 1]
    decide_by_change(now, before, thresholds[n_gates - 1 :], reused[:, n_gates - 1 :])


@njit(cache=True, nogil=True)
def _predict(decider, x, h, out):
    B, n_x = x.shape
    network, planes = decider.network, decider.planes[:, :B]
    x_spacings, h_spacings = np.full(B, network.x_spacing, np.float32), np.full(B, network.h_spacing, np.float32)
    planes[:] = np.uint64(0)
    if decider.predictor_kind == TERNARY:
        put_ternary(x, x_spacings, planes, 0)
        put_ternary(h, h_spacings, planes, n_x)
        out[:] = np.int32(0)
        add_ternary_products(planes, network.weights_t, out)
        return
    if decider.predictor_kind == SIGNS and network.sign_levels.size:
        put_signs_above(x, network.sign_levels[:n_x], planes[0], 0)
        put_signs_above(h, network.sign_levels[n_x:], planes[0], n_x)
    elif decider.predictor_kind == SIGNS:
        put_signs(x, planes[0], 0)
        put_signs(h, planes[0], n_x)
    else:  # CODES
        put_codes(x, x_spacings, planes, 0)
        put_codes(h, h_spacings, planes, n_x)
    largest = (1 << planes.shape[0]) - 1
    out[:] = np.int32(decider.n_inputs * largest * largest)
    add_code_products(planes, network.weights_t, out)
