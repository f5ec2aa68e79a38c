"""A network over one batch of sequences: encoder layers, then the decoder or head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from archsim.functional.batch import Batch
from archsim.functional.cells import State
from archsim.functional.decode import DecoderWeights, decode
from archsim.functional.direction import run_direction
from archsim.functional.head import Answer, classify, transcribe
from archsim.functional.inputs import Inputs
from archsim.functional.passes import Passes
from archsim.functional.weights import check_half
from archsim.ir.heads import AttentionDecoder, CtcHead, MeanClassifier
from archsim.ir.network import Network
from archsim.ir.text import Subwords
from archsim.kernels.arrays import F32, U8
from archsim.policies import Policy

Decisions = dict[tuple[int, int], list[U8]]
"""(layer, direction) to packed decisions (T, bytes) by row of a batch."""


@dataclass(frozen=True, eq=False)
class BatchResult:
    """What one batch of sequences computed, by row of the batch."""

    batch: Batch
    top: list[F32]
    """Top-layer outputs, (T, D·H)."""
    answers: list[Answer] | None
    decisions: Decisions


class NetworkRunner:
    """A network with its weights as the machine stores them, ready to run batches."""

    def __init__(self, network: Network, inputs: Inputs, policy: Policy, thresholds: list[F32]) -> None:
        self.network, self.inputs = network, inputs
        self.decoder: DecoderWeights | None = None
        if isinstance(network.head, AttentionDecoder) and network.embedding:
            if inputs.as_half:
                check_half(f"{network.name}: embedding", network.embedding.table)
            self.decoder = DecoderWeights(network.head, network.embedding.table)
        self.passes = Passes(network, policy, thresholds, as_half=inputs.as_half)

    def run(self, batch: Batch) -> BatchResult:
        """Run all layers over a batch. Batches share nothing, so they may run side by side."""
        hidden = [self.inputs.of(sequence) for sequence in batch.sequences.tolist()]
        decisions: Decisions = {}
        ends: list[State] = []
        for index, layer in enumerate(self.network.encoder):
            sides = []
            for d, direction in enumerate(layer.directions):
                running = self.passes.begin(index, d, batch.sequences.size)
                packed = batch.pack(hidden, reverse=direction.reverse)
                outputs, bits = run_direction(running, packed, batch)
                decisions[index, d] = [bits[batch.rows_of(row)] for row in range(batch.sequences.size)]
                sides.append(batch.unpack(outputs, reverse=direction.reverse))
                ends.append(running.state)
            hidden = sides[0] if len(sides) == 1 else [np.hstack(parts) for parts in zip(*sides, strict=True)]
        if self.decoder is not None:
            return self._decode(self.decoder, batch, hidden, ends, decisions)
        return BatchResult(batch, hidden, self._answers(hidden), decisions)

    def _decode(
        self, weights: DecoderWeights, batch: Batch, memories: list[F32], ends: Sequence[State], decisions: Decisions
    ) -> BatchResult:
        """Decode with a stack whose layers start where the encoder's ended."""
        first = len(self.network.encoder)
        layers = [
            self.passes.begin(first + depth, 0, batch.sequences.size, start=state) for depth, state in enumerate(ends)
        ]
        decoded = decode(weights, layers, memories, as_half=self.inputs.as_half)
        for depth in range(len(layers)):
            decisions[first + depth, 0] = [one.decisions[depth] for one in decoded]
        answers: list[Answer] | None = None
        subwords = self.network.embedding.encoder if self.network.embedding else None
        if isinstance(subwords, Subwords):
            answers = [subwords.decode(one.tokens[one.tokens != weights.head.end]) for one in decoded]
        return BatchResult(batch, [one.top for one in decoded], answers, decisions)

    def _answers(self, outputs: list[F32]) -> list[Answer] | None:
        match self.network.head:
            case MeanClassifier() as head:
                return [classify(head, top) for top in outputs]
            case CtcHead() as head:
                return [transcribe(head, top) for top in outputs]
        return None
