"""A workload over one batch of sequences: encoder layers, then the decoder or head."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archsim.activity import PassKey
from archsim.cores import run_parallel
from archsim.inference.batching import MAX_ROWS, Batch
from archsim.inference.decoding import DecoderWeights, decode
from archsim.inference.delta_pass import ColumnSkippingPass
from archsim.inference.head import Prediction, classify, transcribe
from archsim.inference.policy_parameters import scales_for
from archsim.inference.recurrent_pass import LayerPass, RecurrentPass, State, run_direction
from archsim.inference.weights import store_network
from archsim.inference.workload import Workload
from archsim.ir.heads import CtcHead, MeanClassifier
from archsim.ir.network import Network
from archsim.ir.text import Subwords
from archsim.kernels.arrays import F32, U8
from archsim.policies import PassContext, Policy, kind_of, saves_work, skips_columns


@dataclass(frozen=True, eq=False)
class BatchResult:
    """What one batch of sequences computed, by row of the batch."""

    batch: Batch
    top: list[F32] | None
    """Top-layer outputs, (T, D·H); None where nobody needs them."""
    predictions: list[Prediction] | None
    decisions: dict[PassKey, list[U8]]
    """Packed, (T, bytes)."""


class Passes:
    """What every pass of a network begins with.

    Raises NetworkError for a weight beyond the range of binary16, ConfigError where a policy lacks scales.
    """

    def __init__(self, network: Network, policy: Policy, thresholds: list[F32], *, fp16: bool) -> None:
        self.network, self.policy, self.thresholds, self.fp16 = network, policy, thresholds, fp16
        self.scales = scales_for(network, policy)
        self.weights = store_network(network, fp16=fp16)

    def begin(self, index: int, direction: int, size: int, start: State | None = None) -> LayerPass:
        """Begin the pass of a (layer, direction) over `size` sequences."""
        layer, weights = self.network.layers[index], self.weights[index][direction]
        policy, theta, fp16 = self.policy, self.thresholds[index], self.fp16
        if skips_columns(policy):
            return ColumnSkippingPass(layer, weights, policy, float(theta[0]), size, fp16=fp16, start=start)
        context = PassContext(
            weight_ih=weights.weight_ih,
            weight_hh=weights.weight_hh,
            n_gates=layer.cell.n_gates,
            n_units=layer.hidden_size,
            batch=size,
            thresholds=theta,
            pass_key=(index, direction),
            scales=self.scales[index, direction] if self.scales else None,
        )
        return RecurrentPass(layer, weights, policy, context, fp16=fp16, start=start)


class NetworkRunner:
    """A workload under a policy at a threshold, ready to run batches."""

    def __init__(self, workload: Workload, policy: Policy, thresholds: list[F32], *, keep_outputs: bool) -> None:
        self.workload, self.network = workload, workload.network
        self.decoder = workload.decoder
        self.passes = Passes(self.network, policy, thresholds, fp16=workload.fp16)
        self.shares_products = kind_of(policy).makes_products_ahead
        self.saves_work = saves_work(policy)
        self.needs_top = keep_outputs or self.network.head is not None
        sides = [direction for layer in self.network.encoder for direction in layer.directions]
        self.window_steps = None if any(side.reverse for side in sides) else MAX_ROWS
        """Steps that go through all layers before the next ones do; None where a layer needs the last step first."""

    def run(self, batch: Batch, pool: Executor | None) -> BatchResult:
        """Run all layers over a batch. Batches share nothing, so they may run side by side; so may directions."""
        under_way = self.begin(batch, pool)
        for window in self.windows(batch):
            under_way.advance(window)
        return under_way.finish()

    def begin(self, batch: Batch, pool: Executor | None) -> BatchRun:
        """Begin a run whose caller asks for one window after the other."""
        return BatchRun(self, batch, pool)

    def windows(self, batch: Batch) -> Iterator[Batch]:
        """Cut a batch into the windows that a run takes."""
        return batch.windows(self.window_steps or batch.active.size)

    def run_side(self, running: LayerPass, pass_key: PassKey, values: F32, window: Batch) -> tuple[F32, U8]:
        """Run one pass over packed values in the order of the sequence; return outputs in that order, and decisions."""
        layer, d = pass_key
        order = window.backwards() if running.layer.directions[d].reverse else slice(None)
        inputs = values[order]

        def make(rows: slice) -> F32:
            return running.input_products(inputs[rows])

        def find(rows: slice) -> F32:
            key = (d, window.sequences.tobytes(), window.start, rows.start)
            return self.workload.input_products.get(key, partial(make, rows))

        outputs, decisions = run_direction(
            running, inputs, window, find if layer == 0 and self.shares_products else make
        )
        return outputs[order], decisions

    def decode(
        self,
        weights: DecoderWeights,
        batch: Batch,
        memories: list[F32],
        stack: list[list[LayerPass]],
        decisions: dict[PassKey, list[U8]],
    ) -> BatchResult:
        """Decode a batch with layers that start in the states the encoder's ended in."""
        ends, size = [running.state for sides in stack for running in sides], batch.sequences.size
        layers = [self.passes.begin(len(stack) + depth, 0, size, start=state) for depth, state in enumerate(ends)]
        decoded = decode(weights, layers, memories, fp16=self.workload.fp16)
        for depth in range(len(layers)):
            decisions[len(stack) + depth, 0] = [one.decisions[depth] for one in decoded]
        predictions: list[Prediction] | None = None
        subwords = self.network.embedding.encoder if self.network.embedding else None
        if isinstance(subwords, Subwords):
            predictions = [subwords.decode(one.tokens[one.tokens != weights.head.end]) for one in decoded]
        return BatchResult(batch, [one.top for one in decoded], predictions, decisions)

    def predictions(self, outputs: Sequence[F32]) -> list[Prediction] | None:
        """Return what the head makes of top-layer outputs, one answer per sequence; None without such a head."""
        match self.network.head:
            case MeanClassifier() as head:
                return [classify(head, top) for top in outputs]
            case CtcHead() as head:
                return [transcribe(head, top) for top in outputs]
        return None


class BatchRun:
    """A batch on its way through a network, one window of steps after the other."""

    def __init__(self, runner: NetworkRunner, batch: Batch, pool: Executor | None) -> None:
        self.runner, self.batch, self.pool = runner, batch, pool
        size, encoder = batch.sequences.size, runner.network.encoder
        self.stack = [
            [runner.passes.begin(i, d, size) for d in range(len(layer.directions))] for i, layer in enumerate(encoder)
        ]
        self.tops: list[F32] = []
        self.bits: dict[PassKey, list[U8]] = {
            (i, d): [] for i, sides in enumerate(self.stack) for d in range(len(sides))
        }

    def advance(self, window: Batch) -> F32:
        """Run the steps of a window through all encoder layers; return the top layer's outputs (rows, D·H)."""
        values = self.runner.workload.inputs.packed(window)
        for index, sides in enumerate(self.stack):
            works = [
                partial(self.runner.run_side, running, (index, d), values, window) for d, running in enumerate(sides)
            ]
            outputs, decided = zip(*run_parallel(self.pool, works), strict=True)
            values = outputs[0] if len(outputs) == 1 else np.hstack(outputs)
            for d, decisions in enumerate(decided if self.runner.saves_work else ()):
                self.bits[index, d].append(decisions)
        if self.runner.needs_top:
            self.tops.append(values)
        return values

    def finish(self) -> BatchResult:
        """Return decisions, outputs and predictions, after the last window."""
        runner, batch = self.runner, self.batch
        if runner.saves_work:
            decisions = {pass_key: batch.unpack(_joined(pieces)) for pass_key, pieces in self.bits.items()}
        else:
            decisions = {(i, d): _nothing(batch, self.stack[i][d].bytes_per_step) for i, d in self.bits}
        outputs = batch.unpack(_joined(self.tops)) if runner.needs_top else None
        if runner.decoder is not None and outputs is not None:
            return runner.decode(runner.decoder, batch, outputs, self.stack, decisions)
        return BatchResult(batch, outputs, runner.predictions(outputs or []), decisions)


def _nothing(batch: Batch, n_bytes: int) -> list[U8]:
    """Return decisions that are known to be 0, (T, n_bytes) per sequence, in no memory to speak of."""
    return [np.broadcast_to(np.uint8(0), (n_steps, n_bytes)) for n_steps in batch.lengths.tolist()]


def _joined(pieces: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Packed rows of one window after the other."""
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
