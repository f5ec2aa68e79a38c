"""Run of one batch of sequences through a network: the encoder's layers, then the decoder or the head."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from archsim.activity import PassKey
from archsim.inference.batching import WINDOW_STEPS, Batch
from archsim.inference.decoding import DecoderWeights, decode
from archsim.inference.encoder_run import EncoderRun, PassFactory, joined
from archsim.inference.head import Prediction, classify, transcribe
from archsim.inference.workload import Workload
from archsim.ir.heads import CtcHead, MeanClassifier
from archsim.ir.layers import State
from archsim.ir.text import Subwords
from archsim.kernels.arrays import F32, U8
from archsim.policies import Policy, kind_of


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
    layer_outputs: list[list[F32]] | None
    """Outputs (T, D·H) per layer and sequence; None where not kept."""
    ends: dict[PassKey, State]
    """States after the last step, (B, H), by encoder layer and direction; empty where not kept."""


@dataclass(frozen=True)
class Keep:
    """Choice of what an inference run keeps beside its decisions and predictions."""

    outputs: bool = True
    """Outputs of the top layer."""
    layers: bool = False
    """Outputs of every layer."""
    ends: bool = False
    """States of the encoder's layers after the last step of each sequence."""


NOTHING = Keep(outputs=False)
OUTPUTS = Keep()


class NetworkRunner:
    """Runner of batches of a workload under one policy and θ per gate."""

    def __init__(self, workload: Workload, policy: Policy, thresholds: list[F32], keep: Keep) -> None:
        self.keep = keep
        self.workload = workload
        self.network = workload.network
        self.decoder = workload.decoder
        self.passes = PassFactory(self.network, policy, thresholds, precision=workload.precision.name)
        self.makes_products_ahead = kind_of(policy).makes_products_ahead
        self.needs_top_outputs = keep.outputs or keep.layers or self.network.head is not None
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

    def find_products(self, direction: int, window: Batch, rows: slice, compute: Callable[[], F32]) -> F32:
        """Return the first layer's input products of some rows, computed unless another run has left them."""
        key = (direction, window.sequences.tobytes(), window.start, rows.start)
        return self.workload.input_products.get(key, compute)

    def decode(
        self,
        weights: DecoderWeights,
        batch: Batch,
        encoded: list[list[F32]],
        encoder: EncoderRun,
        decisions: dict[PassKey, list[U8]],
        ends: dict[PassKey, State],
    ) -> BatchResult:
        """Decode a batch with layers that start in the final states of the encoder's passes.

        encoded: outputs of each encoder layer that is kept, the top one last.
        """
        # Encoder and decoder layers match one to one, and have one direction each, which the network has checked.
        depth, size = len(encoder.layers), batch.sequences.size
        states = [layer_pass.state for layer in encoder.layers for layer_pass in layer]
        layers = [self.passes.begin(depth + i, 0, size, start=state) for i, state in enumerate(states)]
        decoded = decode(weights, layers, encoded[-1], fp16=self.workload.precision.fp16)
        for i in range(len(layers)):
            decisions[depth + i, 0] = [sequence.decisions[i] for sequence in decoded]
        predictions: list[Prediction] | None = None
        subwords = self.network.embedding.encoder if self.network.embedding else None
        if isinstance(subwords, Subwords):
            end = weights.head.end
            predictions = [subwords.decode(sequence.tokens[sequence.tokens != end]) for sequence in decoded]
        top_outputs = [sequence.outputs[-1] for sequence in decoded]
        by_layer = [list(outputs) for outputs in zip(*(sequence.outputs for sequence in decoded), strict=True)]
        layer_outputs = encoded + by_layer if self.keep.layers else None
        return BatchResult(batch, top_outputs, predictions, decisions, layer_outputs, ends)

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
        starts = runner.workload.starts_of(batch)
        share = runner.find_products if runner.makes_products_ahead else None
        self.encoder = EncoderRun(runner.passes, batch.sequences.size, starts, pool, share)
        self.outputs: list[list[F32]] = []
        """Outputs per window of each encoder layer that is kept, the top one last."""

    def advance(self, window: Batch) -> F32:
        """Run the steps of a window through all encoder layers; return the top layer's outputs (rows, D·H)."""
        outputs = self.encoder.advance(window, self.runner.workload.inputs.step_major(window))
        if self.runner.keep.layers:
            self.outputs.append(outputs)
        elif self.runner.needs_top_outputs:
            self.outputs.append(outputs[-1:])
        return outputs[-1]

    def finish(self) -> BatchResult:
        """Return decisions, outputs and predictions, after the last window."""
        runner, batch = self.runner, self.batch
        decisions = self.encoder.decisions(batch)
        layers = [batch.by_sequence(joined(windows)) for windows in zip(*self.outputs, strict=True)]
        ends = self.encoder.states if runner.keep.ends else {}
        if runner.decoder is not None:
            return runner.decode(runner.decoder, batch, layers, self.encoder, decisions, ends)
        top_outputs = layers[-1] if layers else None
        layer_outputs = layers if runner.keep.layers else None
        return BatchResult(batch, top_outputs, runner.predictions(top_outputs or []), decisions, layer_outputs, ends)
