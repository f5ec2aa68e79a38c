"""Network of recurrent layers in order, with embedding or front end before them and a head after them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from archsim.errors import NetworkError
from archsim.ir.from_arrays import layers_from_arrays
from archsim.ir.heads import AttentionDecoder, Head
from archsim.ir.layers import Layer
from archsim.ir.speech import Frontend
from archsim.ir.text import Subwords, TextEncoder
from archsim.kernels.arrays import F32, I64
from archsim.ownership import OwnsArrays
from archsim.task_metrics.metrics import METRICS


@dataclass(frozen=True, eq=False)
class Embedding(OwnsArrays):
    """Table (V, I) float32 that converts tokens to inputs of the first layer."""

    table: F32
    encoder: TextEncoder | None = None
    """Encoder of text to tokens; None if the network accepts only tokens."""


LARGEST_SCALE = 1e30
"""Largest accepted scale, so that quantiser steps and their products with weights stay within float32."""


@dataclass(frozen=True)
class Scales:
    """Measures of the inputs of layers on calibration data, which set the steps of quantisers and centre signs."""

    inputs: tuple[float, ...]
    """Mean |x| by layer."""
    hidden: tuple[tuple[float, ...], ...]
    """Mean |h| by layer and direction."""
    largest_inputs: tuple[float, ...] | None = None
    """Largest |x| by layer in fp32, by which 8-bit inputs are stored; None if it has not been measured."""
    largest_hidden: tuple[tuple[float, ...], ...] | None = None
    """Largest |h| by layer and direction in fp32; None if it has not been measured."""
    means: tuple[tuple[float, ...], ...] | None = None
    """Mean of each element of x by layer, float32; None if they have not been measured."""


@dataclass(frozen=True, eq=False)
class Network:
    """Trained network of an encoder stack and, with an `AttentionDecoder`, a decoder stack."""

    name: str
    layers: tuple[Layer, ...]
    """All recurrent layers, those of the encoder first."""
    decoder_depth: int = 0
    """Number of decoder layers, which are the last ones."""
    embedding: Embedding | None = field(default=None, repr=False)
    frontend: Frontend | None = None
    """Converter of audio to frames; None if the network accepts only frames or tokens."""
    head: Head | None = field(default=None, repr=False)
    metric: str | None = None
    """Name of the task metric, e.g. `accuracy`; None if the network has no task."""
    thresholds: dict[str, float | list[Any]] = field(default_factory=dict)
    """Calibrated θ by policy name: one number, a list with one per layer, or lists with one per gate."""
    scales: Scales | None = None
    """Scales for quantisers; None if they have not been measured."""
    description: str = ""
    provenance: str = ""
    default_trace: str | None = None
    corpus: str | None = None
    """Name of the public corpus of its task, e.g. `imdb`."""

    def __post_init__(self) -> None:
        if not self.encoder:
            raise NetworkError(f"{self.name}: no recurrent layer to encode with, need at least one")
        for stack in (self.encoder, self.decoder):
            for below, above in pairwise(stack):
                if above.input_size != below.output_size:
                    sizes = f"{above.name} takes {above.input_size} inputs, {below.name} gives {below.output_size}"
                    raise NetworkError(f"{self.name}: {sizes}")
        table = self.embedding.table if self.embedding else None
        if table is not None and (table.ndim != 2 or table.shape[1] != self.input_size):
            raise NetworkError(f"{self.name}: embedding has shape {table.shape}, need (V, {self.input_size})")
        if self.frontend is not None and self.frontend.input_size != self.input_size:
            sizes = f"front end gives {self.frontend.input_size} numbers per step, the first layer takes"
            raise NetworkError(f"{self.name}: {sizes} {self.input_size}")
        if self.metric is not None:
            _check_metric(self, self.metric)
        if self.head is not None and not isinstance(self.head, AttentionDecoder):
            self.head.check(self.name, self.encoder[-1].output_size)
        if isinstance(self.head, AttentionDecoder) or self.decoder_depth:
            _check_translation(self)
        if self.scales is not None:
            _check_scales(self, self.scales)

    @classmethod
    def from_weights(
        cls,
        cell: str,
        *,
        weight_ih: Sequence[ArrayLike],
        weight_hh: Sequence[ArrayLike],
        bias: Sequence[Any] | None = None,
        peepholes: Sequence[ArrayLike] | None = None,
        gate_order: str = "torch",
        bidirectional: bool = False,
        proj: Sequence[ArrayLike] | None = None,
        name: str | None = None,
    ) -> Network:
        """Return a network of numpy arrays, one per (layer, direction): forward, reverse of layer 0, then of layer 1.

        cell: `lstm`, `lstm-peepholes`, `rnn`, `rnn-relu`, `gru` with its reset after the product (torch, Keras's
        `reset_after`, ONNX's `linear_before_reset=1`), or `gru-reset-before`, which a Keras `gru` with one bias per
        gate is, too; one with gates has a variant for either hard sigmoid.
        gate_order: `torch` (LSTM i f g o, GRU r z n), `onnx` (i o f c, z r h) or `keras` (i f c o, z r h). Kernels are
        (G·H, I) and (G·H, H); those of `keras` are transposed, (I, G·H) and (H, G·H).
        bias: per entry one array (G·H,), two as a pair or (2, G·H), for `onnx` also (2·G·H,), or None. The first bias
        goes with the inputs, the second with h; the candidate of a GRU keeps them apart.
        peepholes: per entry one array (3·H,), gates i f o for `torch` and `keras`, i o f for `onnx`; for cells with
        peepholes only.
        proj: projections of an LSTM, torch's `weight_hr` (R, H), one per entry; kernels of h are then (G·H, R).
        Raises NetworkError, which says what was given and what would be accepted.
        """
        layers = layers_from_arrays(
            cell,
            weight_ih,
            weight_hh,
            bias,
            peepholes=peepholes,
            proj=proj,
            gate_order=gate_order,
            bidirectional=bidirectional,
        )
        return cls(name or f"{gate_order}-{cell}", layers, provenance=f"arrays in the gate order of {gate_order}")

    @property
    def encoder(self) -> tuple[Layer, ...]:
        """Layers that read the input sequence."""
        return self.layers[: len(self.layers) - self.decoder_depth]

    @property
    def decoder(self) -> tuple[Layer, ...]:
        """Layers that write an output step by step; empty for most networks."""
        return self.layers[len(self.layers) - self.decoder_depth :]

    @property
    def input_size(self) -> int:
        """Inputs of the first layer, I."""
        return self.layers[0].input_size

    @property
    def neurons_per_step(self) -> int:
        """Neuron evaluations of all layers and directions in one time step."""
        return sum(layer.neurons_per_step * len(layer.directions) for layer in self.layers)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over everything that affects results: shapes, weights, text encoder, front end and metric."""
        front = self.frontend.name if self.frontend else None
        sha = hashlib.sha256(f"{self.metric} {front} {self.decoder_depth}".encode())
        for layer in self.layers:
            for d in layer.directions:
                sha.update(f"{layer.cell.name} {layer.input_size} {layer.hidden_size} {d.reverse}".encode())
                for array in d.arrays.values():
                    sha.update(array.tobytes())
        for part in self._extras():
            sha.update(
                f"{part.shape}".encode() + part.tobytes() if isinstance(part, np.ndarray) else f"{part}".encode()
            )
        return sha.hexdigest()

    def _extras(self) -> Iterator[object]:
        if self.embedding:
            yield self.embedding.table
            yield self.embedding.encoder.digest if self.embedding.encoder else None
        if self.head:
            yield type(self.head).__name__
            yield from vars(self.head).values()

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


def _check_scales(network: Network, scales: Scales) -> None:
    if (scales.largest_inputs is None) != (scales.largest_hidden is None):
        raise NetworkError(f"{network.name}: scales have one of largest_inputs and largest_hidden: need both or none")
    _check_magnitudes(network, "inputs", scales.inputs, "hidden", scales.hidden)
    if scales.largest_inputs is not None and scales.largest_hidden is not None:
        names = "largest_inputs", "largest_hidden"
        _check_magnitudes(network, names[0], scales.largest_inputs, names[1], scales.largest_hidden)
    if scales.means is not None:
        _check_means(network, scales.means)


def _check_magnitudes(
    network: Network,
    of_inputs: str,
    inputs: tuple[float, ...],
    of_hidden: str,
    hidden: tuple[tuple[float, ...], ...],
) -> None:
    for key, count, need in (
        (of_inputs, len(inputs), len(network.layers)),
        (of_hidden, [len(sides) for sides in hidden], [len(layer.directions) for layer in network.layers]),
    ):
        if count != need:
            raise NetworkError(f"{network.name}: scales.{key} has {count} entries, need {need}, one per layer")
    for value in (*inputs, *(value for sides in hidden for value in sides)):
        if not 0 <= value <= LARGEST_SCALE:
            raise NetworkError(f"{network.name}: scales hold {value}, need numbers from 0 to {LARGEST_SCALE:g}")


def _check_means(network: Network, means: tuple[tuple[float, ...], ...]) -> None:
    counts, need = [len(of_layer) for of_layer in means], [layer.input_size for layer in network.layers]
    if counts != need:
        raise NetworkError(f"{network.name}: scales.means has {counts} entries, need {need}, one per input of a layer")
    for value in (value for of_layer in means for value in of_layer):
        if not -LARGEST_SCALE <= value <= LARGEST_SCALE:
            raise NetworkError(f"{network.name}: scales.means hold {value}, need numbers up to ±{LARGEST_SCALE:g}")


def _check_metric(network: Network, metric: str) -> None:
    """Raise NetworkError unless the metric scores what the head predicts."""
    head, accepted = network.head, "without a head: none"
    if head is not None:
        if metric in METRICS and METRICS.get(metric).target_type is head.predicts:
            return
        suits = [name for name in METRICS if METRICS.get(name).target_type is head.predicts]
        accepted = f"with this head: {', '.join(suits)}"
    raise NetworkError(f"{network.name}: metric = {metric!r}: accepted {accepted}")


def _check_translation(network: Network) -> None:
    """Raise NetworkError unless each decoder layer can start from the last state of its encoder layer."""
    name, encoder, decoder = network.name, network.encoder, network.decoder
    if not (isinstance(network.head, AttentionDecoder) and decoder and network.embedding):
        raise NetworkError(f"{name}: a decoder needs layers, an embedding and a head of kind attention-decoder")
    states = [
        [(y.cell.name, y.hidden_size, y.recurrent_size, len(y.directions)) for y in stack]
        for stack in (encoder, decoder)
    ]
    if states[0] != states[1] or any(directions != 1 for *_, directions in states[0]):
        sizes = f"encoder {states[0]} and decoder {states[1]}"
        raise NetworkError(f"{name}: {sizes}: need the same (cell, units, outputs), one direction each")
    if network.metric and not isinstance(network.embedding.encoder, Subwords):
        raise NetworkError(f"{name}: metric {network.metric!r} needs subwords to write texts with")
    table = network.embedding.table
    if decoder[0].input_size != table.shape[1]:
        raise NetworkError(f"{name}: {decoder[0].name} takes {decoder[0].input_size} inputs, need {table.shape[1]}")
    network.head.check(name, encoder[-1].output_size, decoder[-1].output_size, table.shape)
