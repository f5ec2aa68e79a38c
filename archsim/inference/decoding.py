"""Greedy decoding: each step's input is the embedding of the token the step before has chosen.

So a reused neuron may change a word, and with it everything after it, as it would in the machine.
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
    """One decoded sequence."""

    tokens: I64
    """(T,), the end token included where it was reached."""
    top: F32
    """Top decoder layer, (T, H)."""
    decisions: list[U8]
    """Packed decisions by decoder layer, (T, bytes) each."""


class DecoderWeights:
    """A decoder's head and embedding table, laid out for the kernels; worth doing once for many batches."""

    def __init__(self, head: AttentionDecoder, table: F32) -> None:
        self.head, self.table, self.table_t = head, table, _transposed(table)
        self.attention_t, self.combine_t = _transposed(head.attention), _transposed(head.combine_weight)


class AttentionStep:
    """The decoder's head over a batch: which token follows from a top-layer value, given an encoded sequence."""

    def __init__(self, weights: DecoderWeights, memories: Sequence[F32]) -> None:
        self.weights = weights
        self.memories = [(np.ascontiguousarray(memory), _transposed(memory)) for memory in memories]

    def choose(self, top: F32) -> I64:
        """Return the best next token of the first B sequences from their top-layer values (B, H)."""
        weights = self.weights
        asked = _product(top, weights.attention_t)
        contexts = [self._context(asked[row : row + 1], *self.memories[row]) for row in range(top.shape[0])]
        joint = np.hstack([np.concatenate(contexts), top])
        attended = _product(joint, weights.combine_t) + weights.head.combine_bias
        tanh_inplace(attended.reshape(-1))
        scores: F32 = _product(attended, weights.table_t) + weights.head.output_bias
        return np.asarray(scores.argmax(axis=1), np.int64)

    def _context(self, asked: F32, memory: F32, memory_t: F32) -> F32:
        """Mean of the encoder's outputs (S, H), weighted by the softmax of their scores: (1, H)."""
        shares = _product(asked, memory_t)
        softmax(shares[0])
        return _product(shares, memory)


def decode(
    weights: DecoderWeights,
    layers: Sequence[LayerPass],
    memories: Sequence[F32],
    *,
    fp16: bool,
) -> list[Decoded]:
    """Decode one answer per encoded sequence; `memories` holds the encoder's top outputs (S, H) of each."""
    head, attention = weights.head, AttentionStep(weights, memories)
    limits = np.array([head.step_limit(len(memory)) for memory in memories])
    tokens = np.full(len(memories), head.start, np.int64)
    lengths = np.zeros(len(memories), np.int64)
    steps: list[tuple[I64, F32, list[U8]]] = []
    # Rows that have ended run on until all behind them have; what they compute is not recorded.
    while (open_rows := np.flatnonzero(lengths == 0)).size:
        B = int(open_rows[-1]) + 1
        values = weights.table[tokens[:B]]
        values = to_fp16(values) if fp16 else values
        decisions = []
        for layer in layers:
            values, packed = layer.advance(len(steps), values, layer.input_products(values))
            decisions.append(packed)
        tokens = attention.choose(values)
        steps.append((tokens, values.copy(), decisions))
        ended = (tokens == head.end) | (limits[:B] <= len(steps))
        lengths[:B] = np.where((lengths[:B] == 0) & ended, len(steps), lengths[:B])
    return [_collect(row, steps[: int(length)], len(layers)) for row, length in enumerate(lengths)]


def _collect(row: int, steps: Sequence[tuple[I64, F32, list[U8]]], depth: int) -> Decoded:
    return Decoded(
        tokens=np.array([tokens[row] for tokens, _, _ in steps], np.int64),
        top=np.stack([top[row] for _, top, _ in steps]),
        decisions=[np.stack([packed[layer][row] for _, _, packed in steps]) for layer in range(depth)],
    )


def _product(x: F32, weight_t: F32) -> F32:
    """x @ weight_t in the order of the inputs, so that it depends neither on the batch nor on a library."""
    out = np.zeros((x.shape[0], weight_t.shape[1]), np.float32)
    accumulate_products(np.ascontiguousarray(x), weight_t, out)
    return out


def _transposed(weight: F32) -> F32:
    return np.ascontiguousarray(weight.T)
