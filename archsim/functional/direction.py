"""One (layer, direction) over a batch: products, decisions, memo, cell update, step by step."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from archsim.errors import ConfigError
from archsim.functional.batch import Batch
from archsim.functional.weights import StoredWeights
from archsim.ir.cells import LSTM
from archsim.ir.layers import Layer
from archsim.kernels.arrays import F32, U8, Bools
from archsim.kernels.cells import update_gru, update_lstm
from archsim.kernels.dense import accumulate_products
from archsim.kernels.half import round_to_half
from archsim.kernels.reuse import apply_memo
from archsim.policies.protocol import PassContext, ReusePolicy, Step
from archsim.units import ceil_div

CHUNK_ROWS = 4096
"""Rows whose input products are made at once; bounds memory for long sequences."""


def run_direction(
    layer: Layer,
    weights: StoredWeights,
    inputs: F32,
    batch: Batch,
    policy: ReusePolicy,
    thresholds: F32,
    *,
    as_half: bool,
) -> tuple[F32, U8]:
    """Run one pass over packed inputs (rows, I); return packed outputs (rows, H) and packed decisions.

    Memos start empty and live for this pass only (SEMANTICS 1.4). ConfigError for a policy that breaks its contract.
    """
    cell, H, size = layer.cell, layer.hidden_size, batch.sequences.size
    running = policy.begin(PassContext(weights.weight_ih, weights.weight_hh, cell.n_gates, H, size, thresholds))
    if not hasattr(running, "decide"):
        raise ConfigError(f"policy {policy.name!r} began a pass with {running!r}: need an object with decide(step)")
    h, c = np.zeros((size, H), np.float32), np.zeros((size, H), np.float32)
    memo = np.zeros((size, cell.n_products, H), np.float32)
    outputs = np.empty((inputs.shape[0], H), np.float32)
    decisions = np.empty((inputs.shape[0], ceil_div(layer.neurons_per_step, 8)), np.uint8)
    for index, (rows, products) in enumerate(_input_products(weights, inputs, batch)):
        B = rows.stop - rows.start
        accumulate_products(h[:B], weights.hidden_t, products)
        products = products.reshape(B, cell.n_products, H)
        step = Step(index, inputs[rows], h[:B], products, memo[:B], cell.n_gates)
        reused = running.decide(step)
        _check_decision(policy, step, reused)
        apply_memo(products, memo[:B], reused, cell.product_gates, as_half)
        if cell is LSTM:
            update_lstm(products, weights.bias, c[:B], h[:B])
        else:
            update_gru(products, weights.bias, h[:B])
        if as_half:
            round_to_half(h[:B])
        outputs[rows] = h[:B]
        decisions[rows] = np.packbits(reused.reshape(B, -1), axis=1)
    return outputs, decisions


def _input_products(weights: StoredWeights, inputs: F32, batch: Batch) -> Iterator[tuple[slice, F32]]:
    """Yield the rows of each step and their input products (B, P·H), made many steps at a time."""
    start = stop = 0
    ahead = np.empty((0, 0), np.float32)
    for rows in batch.steps():
        if rows.stop > stop:
            start, stop = rows.start, max(rows.stop, rows.start + CHUNK_ROWS)
            chunk = inputs[start:stop]
            ahead = np.zeros((chunk.shape[0], weights.input_t.shape[1]), np.float32)
            accumulate_products(chunk, weights.input_t, ahead)
        yield rows, ahead[rows.start - start : rows.stop - start]


def _check_decision(policy: ReusePolicy, step: Step, reused: Bools) -> None:
    """A kernel reads as many decisions as there are neurons, so a plug-in's answer is checked before."""
    if not isinstance(reused, np.ndarray) or reused.dtype != np.bool_ or reused.shape != step.shape:
        found = f"{reused.dtype} of shape {reused.shape}" if isinstance(reused, np.ndarray) else repr(reused)
        raise ConfigError(f"policy {policy.name!r} decided {found}, need bool of shape {step.shape}")
    if (step.index == 0 or not policy.uses_memo_unit) and reused.any():
        why = "at step 0, where every memo is empty" if step.index == 0 else "but says it needs no memoization unit"
        raise ConfigError(f"policy {policy.name!r} reuses neurons {why}")
