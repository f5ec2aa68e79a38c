"""Greedy decoding: the input of a step is the embedding of the token chosen at the step before.

A reused neuron may therefore change a word, and with it all later words, as it would in the machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from archsim.inference.recurrent_pass import LayerPass
from archsim.ir.heads import AttentionDecoder
from archsim.kernels.arrays import F32, I64, U8
from archsim.kernels.numerics.attention import softmax, tanh_inplace
from archsim.kernels.numerics.dense import accumulate_products
from archsim.kernels.numerics.fp16 import to_fp16


@dataclass(frozen=True, eq=False)
class Decoded:
    """Tokens, outputs and decisions of one decoded sequence."""

    tokens: I64
    """Chosen tokens (T,), the end token included if it was reached."""
    outputs: list[F32]
    """Outputs per decoder layer, (T, H) each."""
    decisions: list[U8]
    """Bit-packed decisions per decoder layer, (T, bytes) each."""


class DecoderWeights:
    """Decoder head and embedding table, laid out for the kernels once for many batches."""

    def __init__(self, head: AttentionDecoder, table: F32) -> None:
        self.head = head
        self.table = table
        self.table_t = _transposed(table)
        self.attention_t = _transposed(head.attention)
        self.combine_t = _transposed(head.combine_weight)


class AttentionStep:
    """Decoder head over a batch of encoded sequences, which chooses the next token from top-layer outputs."""

    def __init__(self, weights: DecoderWeights, encoded: Sequence[F32]) -> None:
        self.weights = weights
        self.encoded = [(np.ascontiguousarray(outputs), _transposed(outputs)) for outputs in encoded]

    def choose(self, top_outputs: F32) -> I64:
        """Return the best next token of the first B sequences from their top-layer outputs (B, H)."""
        weights = self.weights
        query = _product(top_outputs, weights.attention_t)
        contexts = [self._context(query[row : row + 1], *self.encoded[row]) for row in range(len(query))]
        joint = np.hstack([np.concatenate(contexts), top_outputs])
        attended = _product(joint, weights.combine_t) + weights.head.combine_bias
        tanh_inplace(attended.reshape(-1))
        scores: F32 = _product(attended, weights.table_t) + weights.head.output_bias
        return np.asarray(scores.argmax(axis=1), np.int64)

    def _context(self, query: F32, encoded: F32, encoded_t: F32) -> F32:
        """Return the mean (1, H) of the encoder's outputs (S, H), weighted by the softmax of their scores."""
        shares = _product(query, encoded_t)
        softmax(shares[0])
        return _product(shares, encoded)


def decode(
    weights: DecoderWeights,
    layers: Sequence[LayerPass],
    encoded: Sequence[F32],
    *,
    fp16: bool,
) -> list[Decoded]:
    """Decode one token sequence per encoded sequence; `encoded` holds the encoder's top outputs (S, H) of each."""
    head, attention = weights.head, AttentionStep(weights, encoded)
    limits = np.array([head.step_limit(len(outputs)) for outputs in encoded])
    tokens = np.full(len(encoded), head.start, np.int64)
    lengths = np.zeros(len(encoded), np.int64)
    steps: list[tuple[I64, list[F32], list[U8]]] = []
    # The rows of a step are a prefix of the batch. A row that has ended runs on until all rows behind it have ended,
    # and its further results are not recorded.
    while (open_rows := np.flatnonzero(lengths == 0)).size:
        B = int(open_rows[-1]) + 1
        values = weights.table[tokens[:B]]
        values = to_fp16(values) if fp16 else values
        outputs, decisions = [], []
        for layer in layers:
            values = layer.stored_inputs(values)
            values, step_decisions = layer.advance(len(steps), values, layer.input_products(values))
            outputs.append(values.copy())
            decisions.append(step_decisions)
        tokens = attention.choose(values)
        steps.append((tokens, outputs, decisions))
        ended = (tokens == head.end) | (limits[:B] <= len(steps))
        lengths[:B] = np.where((lengths[:B] == 0) & ended, len(steps), lengths[:B])
    return [_collect(row, steps[: int(length)], len(layers)) for row, length in enumerate(lengths)]


def _collect(row: int, steps: Sequence[tuple[I64, list[F32], list[U8]]], depth: int) -> Decoded:
    return Decoded(
        tokens=np.array([tokens[row] for tokens, _, _ in steps], np.int64),
        outputs=[np.stack([outputs[layer][row] for _, outputs, _ in steps]) for layer in range(depth)],
        decisions=[np.stack([decided[layer][row] for _, _, decided in steps]) for layer in range(depth)],
    )


def _product(x: F32, weight_t: F32) -> F32:
    """Return x @ weight_t, added up in the order of the inputs, so that batch and BLAS library do not matter."""
    out = np.zeros((x.shape[0], weight_t.shape[1]), np.float32)
    accumulate_products(np.ascontiguousarray(x), weight_t, out)
    return out


def _transposed(weight: F32) -> F32:
    return np.ascontiguousarray(weight.T)
