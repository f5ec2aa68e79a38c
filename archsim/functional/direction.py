"""One (layer, direction) over a batch: products, decisions, memo, cell update, step by step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from archsim.functional.batch import Batch
from archsim.ir.cells import GRU, LSTM
from archsim.ir.layers import Direction, Layer
from archsim.kernels.arrays import F32, U8
from archsim.kernels.cells import update_gru, update_lstm
from archsim.kernels.dense import accumulate_products
from archsim.kernels.half import round_to_half, to_half
from archsim.kernels.reuse import apply_memo
from archsim.policies.protocol import PassContext, ReusePolicy, Step

CHUNK_ROWS = 4096
"""Rows whose input products are made at once; bounds memory for long sequences."""


@dataclass(frozen=True)
class StoredWeights:
    """Weights of a direction as the machine holds them, and transposed for the kernels."""

    weight_ih: F32
    weight_hh: F32
    input_t: F32
    """(I, P·H)."""
    hidden_t: F32
    """(H, P·H)."""
    bias: F32
    """(P, H); SEMANTICS 1.2: biases stay float32."""


def store_weights(layer: Layer, direction: Direction, as_half: bool) -> StoredWeights:
    """Round the weights to what the machine stores and lay them out by product."""
    stored = to_half if as_half else np.asarray
    weight_ih, weight_hh = stored(direction.weight_ih), stored(direction.weight_hh)
    per_product = (layer.cell.n_products, layer.hidden_size)
    if layer.cell is GRU:
        # The candidate's two partial products are rows of their own: one sees x only, the other h only.
        H = layer.hidden_size
        none_ih, none_hh = np.zeros((H, layer.input_size), np.float32), np.zeros((H, H), np.float32)
        rows_ih = np.concatenate([weight_ih, none_ih])
        rows_hh = np.concatenate([weight_hh[: 2 * H], none_hh, weight_hh[2 * H :]])
        gates_bias = direction.bias_ih[: 2 * H] + direction.bias_hh[: 2 * H]
        bias = np.concatenate([gates_bias, direction.bias_ih[2 * H :], direction.bias_hh[2 * H :]])
    else:
        rows_ih, rows_hh, bias = weight_ih, weight_hh, direction.bias_ih + direction.bias_hh
    return StoredWeights(
        weight_ih,
        weight_hh,
        np.ascontiguousarray(rows_ih.T),
        np.ascontiguousarray(rows_hh.T),
        bias.reshape(per_product),
    )


def run_direction(
    layer: Layer,
    weights: StoredWeights,
    inputs: F32,
    batch: Batch,
    policy: ReusePolicy,
    thresholds: F32,
    as_half: bool,
) -> tuple[F32, U8]:
    """Run one pass over packed inputs (rows, I); return packed outputs (rows, H) and packed decisions.

    Memos start empty and live for this pass only (SEMANTICS 1.4).
    """
    cell, H = layer.cell, layer.hidden_size
    size = batch.sequences.size
    running = policy.begin(PassContext(weights.weight_ih, weights.weight_hh, cell.n_gates, H, size, thresholds))
    h, c = np.zeros((size, H), np.float32), np.zeros((size, H), np.float32)
    memo = np.zeros((size, cell.n_products, H), np.float32)
    outputs = np.empty((inputs.shape[0], H), np.float32)
    decisions = np.empty((inputs.shape[0], -(-layer.neurons_per_step // 8)), np.uint8)
    products_ahead, ahead = _input_products(weights, inputs, 0), slice(0, CHUNK_ROWS)
    for index, rows in enumerate(batch.steps()):
        if rows.stop > ahead.stop:
            ahead = slice(rows.start, rows.start + CHUNK_ROWS)
            products_ahead = _input_products(weights, inputs, rows.start)
        B = rows.stop - rows.start
        products = products_ahead[rows.start - ahead.start : rows.stop - ahead.start]
        accumulate_products(h[:B], weights.hidden_t, products)
        products = products.reshape(B, cell.n_products, H)
        step = Step(index, inputs[rows], h[:B], _per_gate(products, cell.n_gates), _per_gate(memo[:B], cell.n_gates))
        reused = running.decide(step)
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


def _input_products(weights: StoredWeights, inputs: F32, start: int) -> F32:
    rows = inputs[start : start + CHUNK_ROWS]
    products = np.zeros((rows.shape[0], weights.input_t.shape[1]), np.float32)
    accumulate_products(rows, weights.input_t, products)
    return products


def _per_gate(products: F32, n_gates: int) -> F32:
    """Dot products by gate, (B, G, H): the GRU candidate's two parts are summed."""
    if products.shape[1] == n_gates:
        return products
    return np.concatenate([products[:, :2], products[:, 2:3] + products[:, 3:]], axis=1)
