"""Run of one batch of sequences through a network: the encoder's layers, then the decoder or the head."""

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
from archsim.inference.batching import WINDOW_STEPS, Batch
from archsim.inference.decoding import DecoderWeights, decode
from archsim.inference.delta_pass import ColumnSkippingPass
from archsim.inference.head import Prediction, classify, transcribe
from archsim.inference.policy_parameters import scales_for
from archsim.inference.recurrent_pass import CellState, LayerPass, RecurrentPass, run_direction
from archsim.inference.weights import store_network
from archsim.inference.workload import Workload
from archsim.ir.heads import CtcHead, MeanClassifier
from archsim.ir.network import Network
from archsim.ir.text import Subwords
from archsim.kernels.arrays import F32, U8
from archsim.policies import PassContext, Policy, kind_of, saves_work, skips_columns


@dataclass(frozen=True, eq=False)
class BatchResult:
    """Results of one batch; entry b of each list belongs to sequence b of the batch."""

    batch: Batch
    top_outputs: list[F32] | None
    """Top-layer outputs, (T, D·H) per sequence; None if neither the caller nor a head needs them."""
    predictions: list[Prediction] | None
    """Predictions of the head; None for a network without one."""
    decisions: dict[PassKey, list[U8]]
    """Bit-packed decisions, (T, bytes) per sequence, by pass key."""


class PassFactory:
    """Factory of passes, with the stored weights of a network and the θ and scales of a policy on it.

    Raises NetworkError for a weight beyond the range of binary16, ConfigError if the network
    lacks the scales that the policy needs.
    """

    def __init__(self, network: Network, policy: Policy, thresholds: list[F32], *, fp16: bool) -> None:
        self.network = network
        self.policy = policy
        self.thresholds = thresholds
        self.fp16 = fp16
        self.scales = scales_for(network, policy)
        self.weights = store_network(network, fp16=fp16)

    def begin(self, index: int, direction: int, size: int, start: CellState | None = None) -> LayerPass:
        """Begin the pass of a (layer, direction) over `size` sequences; its state is zero, or a copy of `start`."""
        layer, weights = self.network.layers[index], self.weights[index][direction]
        policy, theta, fp16 = self.policy, self.thresholds[index], self.fp16
        if skips_columns(policy):
            # Gates share columns, so all θ of a layer are equal.
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
    """Runner of batches of a workload under one policy and θ per gate."""

    def __init__(self, workload: Workload, policy: Policy, thresholds: list[F32], *, keep_outputs: bool) -> None:
        self.workload = workload
        self.network = workload.network
        self.decoder = workload.decoder
        self.passes = PassFactory(self.network, policy, thresholds, fp16=workload.fp16)
        self.makes_products_ahead = kind_of(policy).makes_products_ahead
        self.saves_work = saves_work(policy)
        self.needs_top_outputs = keep_outputs or self.network.head is not None
        reverse = any(direction.reverse for layer in self.network.encoder for direction in layer.directions)
        # A reverse pass begins with the last step, so the layer above it has no inputs before the pass is over.
        self.window_steps = None if reverse else WINDOW_STEPS
        """Steps of a window, which go through all layers before the next window does; None for all steps at once."""

    def run(self, batch: Batch, pool: Executor | None) -> BatchResult:
        """Run a batch through all layers. Batches share no state, so several may run in parallel."""
        batch_run = self.begin(batch, pool)
        for window in self.windows(batch):
            batch_run.advance(window)
        return batch_run.finish()

    def begin(self, batch: Batch, pool: Executor | None) -> BatchRun:
        """Begin a run that the caller advances window by window."""
        return BatchRun(self, batch, pool)

    def windows(self, batch: Batch) -> Iterator[Batch]:
        """Cut a batch into the windows that a run advances by, in order."""
        return batch.windows(self.window_steps or batch.active.size)

    def run_pass_in_order(self, layer_pass: LayerPass, pass_key: PassKey, values: F32, window: Batch) -> tuple[F32, U8]:
        """Run one pass over step-major inputs; return its outputs and bit-packed decisions.

        Inputs and outputs are in the order of the sequence also for a reverse pass; decisions in the order of the pass.
        """
        layer, d = pass_key
        # The permutation that reverses sequences is its own inverse, so it also puts the outputs back in order.
        order = window.backwards() if layer_pass.layer.directions[d].reverse else slice(None)
        inputs = values[order]

        def compute(rows: slice) -> F32:
            return layer_pass.input_products(inputs[rows])

        def find_or_compute(rows: slice) -> F32:
            key = (d, window.sequences.tobytes(), window.start, rows.start)
            return self.workload.input_products.get(key, partial(compute, rows))

        # Only the first layer's inputs are the same for every policy and θ.
        input_products = find_or_compute if layer == 0 and self.makes_products_ahead else compute
        outputs, decisions = run_direction(layer_pass, inputs, window, input_products)
        return outputs[order], decisions

    def decode(
        self,
        weights: DecoderWeights,
        batch: Batch,
        encoded: list[F32],
        encoder: list[list[LayerPass]],
        decisions: dict[PassKey, list[U8]],
    ) -> BatchResult:
        """Decode a batch with layers that start in the final states of the encoder's passes."""
        # Encoder and decoder layers match one to one, and have one direction each, which the network has checked.
        states, size = [layer_pass.state for layer in encoder for layer_pass in layer], batch.sequences.size
        layers = [self.passes.begin(len(encoder) + i, 0, size, start=state) for i, state in enumerate(states)]
        decoded = decode(weights, layers, encoded, fp16=self.workload.fp16)
        for i in range(len(layers)):
            decisions[len(encoder) + i, 0] = [sequence.decisions[i] for sequence in decoded]
        predictions: list[Prediction] | None = None
        subwords = self.network.embedding.encoder if self.network.embedding else None
        if isinstance(subwords, Subwords):
            end = weights.head.end
            predictions = [subwords.decode(sequence.tokens[sequence.tokens != end]) for sequence in decoded]
        return BatchResult(batch, [sequence.top_outputs for sequence in decoded], predictions, decisions)

    def predictions(self, outputs: Sequence[F32]) -> list[Prediction] | None:
        """Return one prediction per sequence from its top-layer outputs; None if no head reads them."""
        match self.network.head:
            case MeanClassifier() as head:
                return [classify(head, top_outputs) for top_outputs in outputs]
            case CtcHead() as head:
                return [transcribe(head, top_outputs) for top_outputs in outputs]
        return None


class BatchRun:
    """Run of one batch through a network, advanced window by window."""

    def __init__(self, runner: NetworkRunner, batch: Batch, pool: Executor | None) -> None:
        self.runner = runner
        self.batch = batch
        self.pool = pool
        size = batch.sequences.size
        self.encoder = [
            [runner.passes.begin(i, d, size) for d in range(len(layer.directions))]
            for i, layer in enumerate(runner.network.encoder)
        ]
        self.top_outputs: list[F32] = []
        keys = [(i, d) for i, layer in enumerate(self.encoder) for d in range(len(layer))]
        self.decisions: dict[PassKey, list[U8]] = {key: [] for key in keys}

    def advance(self, window: Batch) -> F32:
        """Run the steps of a window through all encoder layers; return the top layer's outputs (rows, D·H)."""
        run = self.runner.run_pass_in_order
        values = self.runner.workload.inputs.step_major(window)
        for index, layer in enumerate(self.encoder):
            tasks = [partial(run, layer_pass, (index, d), values, window) for d, layer_pass in enumerate(layer)]
            outputs, decisions = zip(*run_parallel(self.pool, tasks), strict=True)
            values = outputs[0] if len(outputs) == 1 else np.hstack(outputs)
            for d, of_pass in enumerate(decisions if self.runner.saves_work else ()):
                self.decisions[index, d].append(of_pass)
        if self.runner.needs_top_outputs:
            self.top_outputs.append(values)
        return values

    def finish(self) -> BatchResult:
        """Return decisions, outputs and predictions, after the last window."""
        runner, batch = self.runner, self.batch
        if runner.saves_work:
            decisions = {key: batch.by_sequence(_joined(pieces)) for key, pieces in self.decisions.items()}
        else:
            decisions = {(i, d): _no_reuse(batch, self.encoder[i][d].bytes_per_step) for i, d in self.decisions}
        outputs = batch.by_sequence(_joined(self.top_outputs)) if runner.needs_top_outputs else None
        if runner.decoder is not None and outputs is not None:
            return runner.decode(runner.decoder, batch, outputs, self.encoder, decisions)
        return BatchResult(batch, outputs, runner.predictions(outputs or []), decisions)


def _no_reuse(batch: Batch, n_bytes: int) -> list[U8]:
    """Return decisions that are all 0, (T, n_bytes) per sequence, as views of a single byte."""
    return [np.broadcast_to(np.uint8(0), (n_steps, n_bytes)) for n_steps in batch.lengths.tolist()]


def _joined(pieces: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return the rows of all windows in one array."""
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
