"""Loop over the steps of a pass: products, reuse decisions, memo and cell update (SEMANTICS 1)."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit

from archsim.kernels.arrays import F32, I64, Bools, check_shapes
from archsim.kernels.numerics.cells import CellUpdate, advance_cell, check_update, reset
from archsim.kernels.numerics.products import ProductWeights, add_weighted
from archsim.kernels.prediction.reuse_decider import WITHOUT_NETWORK, ReuseDecider, correct_step, decide_step
from archsim.kernels.prediction.reuse_rule import recall_memo


class PassArrays(NamedTuple):
    """Weights and state of a pass in progress, for B sequences at the start and fewer as they end.

    `hidden`, `gate_of_product` and `memo` are of the P products of one group of gates, which are decided together.
    """

    hidden: ProductWeights
    """Weights of h, P·H products over its R elements, R = H without a projection."""
    gate_of_product: I64
    """Gate of each product, counted from the first of the group, (P,)."""
    memo: F32
    """Products as last evaluated, (B, P, H)."""
    c: F32
    """Cell state, (B, H); unused by a cell without one."""
    h: F32
    """Hidden values, (B, R)."""
    update: CellUpdate
    """Cell update with the biases of all products of the cell."""
    fp16_memo: bool
    """Whether the memo is binary16."""


Group = tuple[PassArrays, ReuseDecider]
"""Gates that are decided together."""


def run_steps(groups: Sequence[Group], start: int, active: I64, inputs: F32, products: F32) -> tuple[F32, Bools]:
    """Run the steps `start`, `start` + 1, ... of the first `active` (T,) sequences.

    groups: all gates; or, where reset comes before the product, all but the last, which read h, and the last, which
    reads r ⊙ h. inputs (rows, I) and products with x (rows, P·H) are step-major. On return `products` holds what the
    cell updates used, memoized where reused. Returns h after each row's step, (rows, R), and the reuse decisions,
    (rows, G, H).
    """
    (arrays, decider), last = groups[0], groups[-1]
    rows, n_units, n_hidden = int(active.sum()), arrays.memo.shape[2], arrays.h.shape[1]
    check_update(arrays.update, n_units)
    width = inputs.shape[1] if decider.predictor_kind in WITHOUT_NETWORK else decider.n_inputs - n_hidden
    n_columns = sum(group.hidden.n_products for group, _ in groups)
    check_shapes(products=(products, (rows, n_columns)), inputs=(inputs, (rows, width)))
    if int(active[0]) > len(arrays.h):
        raise ValueError(f"step {start} has {active[0]} sequences, the pass began with {len(arrays.h)}")
    outputs = np.empty((rows, n_hidden), np.float32)
    reused = np.empty((rows, sum(of.thresholds.size for _, of in groups), n_units), np.bool_)
    if len(groups) == 1:
        _run_steps(arrays, decider, start, active, inputs, products, outputs, reused)
    else:
        _run_reset_steps(arrays, decider, *last, start, active, inputs, products, outputs, reused)
    return outputs, reused


@njit(cache=True, nogil=True)
def _run_steps(arrays, decider, start, active, inputs, products, outputs, reused):
    row = 0
    for t in range(active.size):
        B, rows = active[t], slice(row, row + active[t])
        h, y = arrays.h[:B], products[rows]
        _finish_products(arrays, decider, start + t, inputs[rows], h, y, reused[rows])
        by_product = y.reshape(B, -1, arrays.memo.shape[2])
        advance_cell(arrays.update, by_product, arrays.c[:B], h)
        outputs[rows] = h
        row += B


@njit(cache=True, nogil=True)
def _run_reset_steps(gates, decider, candidate, last_decider, start, active, inputs, products, outputs, reused):
    n_first, row = gates.memo.shape[1] * gates.memo.shape[2], 0  # products of all gates but the candidate
    for t in range(active.size):
        B, rows = active[t], slice(row, row + active[t])
        h, y, r = gates.h[:B], products[rows], reused[rows]
        # Kernels read contiguous arrays, so each group has its products and decisions in arrays of its own.
        first, last = y[:, :n_first].copy(), y[:, n_first:].copy()
        first_reused, last_reused = r[:, :-1].copy(), r[:, -1:].copy()
        _finish_products(gates, decider, start + t, inputs[rows], h, first, first_reused)
        reset_h = reset(gates.update, first.reshape(B, -1, h.shape[1]), h)  # r ⊙ h_{t-1}
        _finish_products(candidate, last_decider, start + t, inputs[rows], reset_h, last, last_reused)
        y[:, :n_first], y[:, n_first:] = first, last
        r[:, :-1], r[:, -1:] = first_reused, last_reused
        advance_cell(gates.update, y.reshape(B, -1, h.shape[1]), gates.c[:B], h)
        outputs[rows] = h
        row += B


@njit(cache=True, nogil=True)
def _finish_products(arrays, decider, index, x, h, y, reused):
    """Add the part of h to products `y` (B, P·H), decide reuse, and put memoized products where it is."""
    memo = arrays.memo[: h.shape[0]]
    add_weighted(h, arrays.hidden, y)  # y[k,n] = W_ih[k,n]·x_t + W_hh[k,n]·h_{t-1}
    by_product = y.reshape(memo.shape)
    decide_step(decider, index, x, h, by_product, memo, reused)
    recall_memo(by_product, memo, reused, arrays.gate_of_product, arrays.fp16_memo)
    if decider.network.correction_scale.size:
        correct_step(decider, by_product, reused, arrays.gate_of_product)
