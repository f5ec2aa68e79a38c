"""A network: recurrent layers in order, an optional embedding before them and an optional head after them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from archsim.errors import NetworkError
from archsim.ir.layers import Layer
from archsim.ir.text import Vocabulary
from archsim.kernels.arrays import F32, I64


@dataclass(frozen=True, eq=False)
class Embedding:
    """Turns tokens into the first layer's inputs; `table` is (V, I) float32."""

    table: F32
    vocabulary: Vocabulary | None = None


@dataclass(frozen=True, eq=False)
class Head:
    """Turns the top layer's outputs into class scores: the mean over time, then one linear map."""

    weight: F32
    """(classes, D·H)."""
    bias: F32
    """(classes,)."""


@dataclass(frozen=True, eq=False)
class Network:
    """A trained network as archsim runs it."""

    name: str
    layers: tuple[Layer, ...]
    embedding: Embedding | None = field(default=None, repr=False)
    head: Head | None = field(default=None, repr=False)
    metric: str | None = None
    """Name of the task metric, e.g. `accuracy`; None where the network has no task."""
    thresholds: dict[str, float] = field(default_factory=dict)
    """Calibrated θ per policy name."""
    description: str = ""
    provenance: str = ""
    default_trace: str | None = None

    def __post_init__(self) -> None:
        if not self.layers:
            raise NetworkError(f"{self.name}: no recurrent layer, need at least one")
        for below, above in zip(self.layers, self.layers[1:], strict=False):
            if above.input_size != below.output_size:
                raise NetworkError(
                    f"{self.name}: {above.name} takes {above.input_size} inputs, {below.name} gives {below.output_size}"
                )
        top, table = self.layers[-1], self.embedding.table if self.embedding else None
        if table is not None and (table.ndim != 2 or table.shape[1] != self.input_size):
            raise NetworkError(f"{self.name}: embedding has shape {table.shape}, need (V, {self.input_size})")
        if self.metric is not None and self.head is None:
            raise NetworkError(f"{self.name}: metric {self.metric!r} needs a head that predicts classes")
        if self.head is not None:
            weight, bias = self.head.weight.shape, self.head.bias.shape
            if len(bias) != 1 or weight != (*bias, top.output_size):
                need = f"(classes, {top.output_size}) and (classes,)"
                raise NetworkError(f"{self.name}: head has weight {weight} and bias {bias}, need {need}")

    @property
    def input_size(self) -> int:
        """I of the first layer."""
        return self.layers[0].input_size

    @property
    def neurons_per_step(self) -> int:
        """Neuron evaluations of all layers and directions in one time step."""
        return sum(layer.neurons_per_step * len(layer.directions) for layer in self.layers)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over shapes, weights, vocabulary and metric: all that decides what the network computes."""
        sha = hashlib.sha256(f"{self.metric}".encode())
        for layer in self.layers:
            for d in layer.directions:
                sha.update(f"{layer.cell.name} {layer.input_size} {layer.hidden_size} {d.reverse}".encode())
                for array in (d.weight_ih, d.weight_hh, d.bias_ih, d.bias_hh):
                    sha.update(array.tobytes())
        extras = [self.embedding.table] if self.embedding else []
        extras += [self.head.weight, self.head.bias] if self.head else []
        for extra in extras:
            sha.update(f"{extra.shape}".encode() + extra.tobytes())
        if self.embedding and self.embedding.vocabulary:
            sha.update("\n".join(self.embedding.vocabulary.tokens).encode())
        return sha.hexdigest()

    def lookup(self, tokens: I64) -> F32:
        """Return the embedding rows of token ids: (T,) to (T, I)."""
        if self.embedding is None:
            raise NetworkError(
                f"{self.name} has no embedding: it takes frames of {self.input_size} numbers, not tokens"
            )
        vocabulary_size = self.embedding.table.shape[0]
        if tokens.size and not 0 <= tokens.min() <= tokens.max() < vocabulary_size:
            worst = tokens.max() if tokens.max() >= vocabulary_size else tokens.min()
            raise NetworkError(
                f"{self.name}: token id {worst} is outside the embedding, need 0 to {vocabulary_size - 1}"
            )
        return np.ascontiguousarray(self.embedding.table[tokens])
