"""Trainable form of a network folder: layers under a reuse policy, embedding, head, and the loss of its task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, ctc_loss, embedding
from torch.nn.utils.rnn import pad_sequence

from archsim.errors import ConfigError, TraceError
from archsim.finetune.rnn import ReuseRNN
from archsim.finetune.steps import check_trainable
from archsim.importers.effective import torch_class
from archsim.importers.pytorch import from_torch
from archsim.inference.head import metric_for
from archsim.inference.inputs import Inputs
from archsim.inference.policy_parameters import Threshold
from archsim.ir.cells import cell_named
from archsim.ir.folder import MANIFEST, WEIGHTS, load_network, read_manifest
from archsim.ir.heads import CtcHead, MeanClassifier
from archsim.ir.manifest import CtcManifest, MeanLinearManifest, StackManifest
from archsim.ir.network import Network, Scales
from archsim.kernels.arrays import I64
from archsim.traceio.trace import Trace


class Example(NamedTuple):
    """Sequence of frames (T, I) float32 or tokens (T,) int64, with its labels."""

    inputs: Tensor
    labels: Tensor
    """Class (1,), or the labels of a transcript."""


class Losses(NamedTuple):
    """Loss, unsteadiness and reuse of a batch."""

    task: Tensor
    unsteadiness: Tensor | None
    reuse_fraction: float


class TrainableNetwork(nn.Module):
    """Network of a folder with a mean-linear or CTC head, run under a reuse policy.

    Raises NetworkError for a broken folder, and ConfigError for a network without such a head or without a metric.
    """

    def __init__(
        self, folder: Path, *, policy: str, threshold: Threshold, scales: Scales | None = None, precision: str = "fp16"
    ) -> None:
        super().__init__()
        self.folder = folder
        self.source = load_network(folder)
        manifest, tensors = read_manifest(folder / MANIFEST), load_file(folder / WEIGHTS)
        head = manifest.head
        if not isinstance(head, MeanLinearManifest | CtcManifest):
            problem = f"has a head of kind {head.kind!r}" if head else "has no head"
            raise ConfigError(f"{self.source.name} {problem}: fine-tuning takes heads mean-linear and ctc")
        if self.source.metric is None:
            raise ConfigError(f"{self.source.name} names no metric: need one to say what fine-tuning costs")
        for layer in self.source.layers:
            check_trainable(layer)
        self.prefixes = [stack.prefix for stack in manifest.stacks]
        self.types = {name: tensor.dtype for name, tensor in tensors.items()}
        stacks = [_module_of(stack, tensors) for stack in manifest.stacks]
        scales = scales or self.source.scales
        self.rnn = ReuseRNN(*stacks, policy=policy, threshold=threshold, scales=scales, precision=precision)
        self.names = {"weight": head.weight, "bias": head.bias}
        self.weight = nn.Parameter(tensors[head.weight].float())
        self.bias = nn.Parameter(tensors[head.bias].float())
        self.table: nn.Parameter | None = None
        if manifest.embedding:
            self.names["table"] = manifest.embedding.weight
            self.table = nn.Parameter(tensors[manifest.embedding.weight].float())

    def examples(self, trace: Trace) -> list[Example]:
        """Return a labelled trace as training examples; raise TraceError if the network cannot learn from it."""
        inputs = Inputs(self.source, trace, fp16=self.rnn.fp16)
        if metric_for(self.source, trace) is None or trace.targets is None:
            raise TraceError(f"trace {trace.name} has no targets: need a labelled trace of the network's task")
        takes_frames, sequences = inputs.trace.kind == "frames", inputs.trace.sequences
        arrays = [inputs.of(i) if takes_frames else self._checked(tokens) for i, tokens in enumerate(sequences)]
        labels = [self._labels(target, f"trace {trace.name}: sequence {i}") for i, target in enumerate(trace.targets)]
        return [Example(torch.tensor(x), y) for x, y in zip(arrays, labels, strict=True)]

    def forward(self, batch: Sequence[Example], *, half_at: float | None = None) -> Losses:
        """Return the mean loss of a batch: cross-entropy, or CTC loss per label."""
        lengths = torch.tensor([len(example.inputs) for example in batch])
        padded = pad_sequence([example.inputs for example in batch])
        x = padded if self.table is None else embedding(padded, self.table)
        run = self.rnn.run(x, lengths, half_at=half_at)
        labels = torch.cat([example.labels for example in batch])
        if isinstance(self.source.head, CtcHead):
            counts = torch.tensor([len(example.labels) for example in batch])
            scores = (run.outputs @ self.weight.T + self.bias).log_softmax(2)
            task = ctc_loss(scores, labels, lengths, counts, zero_infinity=True)
        else:
            mean = run.outputs.sum(0) / lengths[:, None]
            task = cross_entropy(mean @ self.weight.T + self.bias, labels)
        return Losses(task, run.unsteadiness, run.reuse_fraction)

    def network(self) -> Network:
        """Return a network of the current weights that archsim can run."""
        head, embedded = self.source.head, self.source.embedding
        assert isinstance(head, MeanClassifier | CtcHead), "checked at the start"
        layers = [layer for stack in self.rnn.stacks for layer in from_torch(stack).layers]
        weight, bias = (p.detach().numpy().copy() for p in (self.weight, self.bias))
        if embedded is not None and self.table is not None:
            embedded = replace(embedded, table=self.table.detach().numpy().copy())
        head = replace(head, weight=weight, bias=bias)
        return replace(self.source, layers=tuple(layers), embedding=embedded, head=head, scales=self.rnn.scales)

    def tensors(self) -> dict[str, Tensor]:
        """Return the weights with the names and types that they have in the folder."""
        result = {name: getattr(self, field) for field, name in self.names.items()}
        for prefix, stack in zip(self.prefixes, self.rnn.stacks, strict=True):
            result |= {prefix + name: weight for name, weight in stack.named_parameters()}
        return {name: t.detach().to(self.types.get(name, torch.float32)).contiguous() for name, t in result.items()}

    def _checked(self, tokens: I64) -> I64:
        self.source.lookup(tokens)
        return tokens

    def _labels(self, target: Any, where: str) -> Tensor:
        head = self.source.head
        if not isinstance(head, CtcHead):
            return torch.tensor([target])
        known = {word: label for label, word in enumerate(head.labels) if label}
        unknown = [word for word in target.split() if word not in known]
        if unknown:
            raise TraceError(f"{where} says {unknown[0]!r}, the network knows {', '.join(known)}")
        return torch.tensor([known[word] for word in target.split()])


def _module_of(stack: StackManifest, tensors: Mapping[str, Tensor]) -> nn.RNNBase:
    """Return the torch module of a stack's tensors; a bias that is not stored is zero."""
    has_bias = any(name.startswith(f"{stack.prefix}bias_") for name in tensors)
    shape = stack.input_size, stack.hidden_size, stack.num_layers
    cell = cell_named(stack.cell)
    options: dict[str, Any] = {"bias": has_bias, "bidirectional": stack.bidirectional, **cell.torch_options}
    if stack.proj_size:  # which only an nn.LSTM takes
        options["proj_size"] = stack.proj_size
    module: nn.RNNBase = torch_class(cell)(*shape, **options)
    with torch.no_grad():
        for name, weight in module.named_parameters():
            stored = tensors.get(stack.prefix + name)
            weight.copy_(torch.zeros_like(weight) if stored is None else stored)
    return module
