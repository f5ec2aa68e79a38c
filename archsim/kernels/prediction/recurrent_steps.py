"""Loop over the steps of a pass: products, reuse decisions, memo and cell update (SEMANTICS 1)."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from archsim.kernels.arrays import F32, I64, Bools, check_shapes
from archsim.kernels.numerics.cells import CellUpdate, advance_cell, check_update
from archsim.kernels.numerics.dense import add_products
from archsim.kernels.numerics.fp16 import round_all
from archsim.kernels.prediction.reuse_decider import WITHOUT_NETWORK, ReuseDecider, correct_step, decide_step
from archsim.kernels.prediction.reuse_rule import recall_memo


class PassArrays(NamedTuple):
    """Weights and state of a pass in progress, for B sequences at the start and fewer as they end."""

    hidden_t: F32
    """Weights of h, (H, P·H)."""
    gate_of_product: I64
    """Gate of each product, (P,)."""
    memo: F32
    """Products as last evaluated, (B, P, H)."""
    c: F32
    """Cell state, (B, H); unused by a cell without one."""
    h: F32
    """Hidden values, (B, H)."""
    update: CellUpdate
    """Cell update with its biases."""
    fp16: bool
    """Whether h and the memo are binary16."""


def run_steps(
    arrays: PassArrays, decider: ReuseDecider, start: int, active: I64, inputs: F32, products: F32
) -> tuple[F32, Bools]:
    """Run the steps `start`, `start` + 1, ... of the first `active` (T,) sequences.

    inputs (rows, I) and products with x (rows, P·H) are step-major. On return `products` holds what the cell updates
    used, memoized where reused. Returns h after each row's step, (rows, H), and the reuse decisions, (rows, G, H).
    """
    rows, n_units = int(active.sum()), arrays.h.shape[1]
    check_update(arrays.update, n_units)
    width = inputs.shape[1] if decider.predictor_kind in WITHOUT_NETWORK else decider.n_inputs - n_units
    check_shapes(products=(products, (rows, arrays.hidden_t.shape[1])), inputs=(inputs, (rows, width)))
    if int(active[0]) > len(arrays.h):
        raise ValueError(f"step {start} has {active[0]} sequences, the pass began with {len(arrays.h)}")
    outputs = np.empty((rows, n_units), np.float32)
    reused = np.empty((rows, decider.thresholds.size, n_units), np.bool_)
    _run_steps(arrays, decider, start, active, inputs, products, outputs, reused)
    return outputs, reused


@njit(cache=True, nogil=True)
def _run_steps(arrays, decider, start, active, inputs, products, outputs, reused):
    row = 0
    for t in range(active.size):
        B, rows = active[t], slice(row, row + active[t])
        x, y, r = inputs[rows], products[rows], reused[rows]
        h, c, memo = arrays.h[:B], arrays.c[:B], arrays.memo[:B]
        add_products(h, arrays.hidden_t, y)  # y[k,n] = W_ih[k,n]·x_t + W_hh[k,n]·h_{t-1}
        by_product = y.reshape(memo.shape)
        decide_step(decider, start + t, x, h, by_product, memo, r)
        recall_memo(by_product, memo, r, arrays.gate_of_product, arrays.fp16)
        if decider.network.correction_scale.size:
            correct_step(decider, by_product, r, arrays.gate_of_product)
        advance_cell(arrays.update, by_product, c, h)
        if arrays.fp16:
            round_all(h.reshape(-1))
        outputs[rows] = h
        row += B
