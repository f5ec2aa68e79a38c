"""Schema of `network.toml`."""

from __future__ import annotations

import sys
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator, field_validator

from archsim.errors import did_you_mean
from archsim.ir.cells import CELLS
from archsim.task_metrics.metrics import METRICS
from archsim.validation import FrozenRecord

FLOAT_MAX = sys.float_info.max
Per = Literal["network", "layer", "gate", "kind"]
"""Scope of one θ; a kind is the same gate in all layers."""


def _theta(value: Any) -> Any:
    """Check and convert θ of TOML or JSON; the lengths of its lists are checked with the network."""
    if isinstance(value, list) and value:
        return [_theta(part) for part in value]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= FLOAT_MAX:
        raise ValueError("need a number >= 0, or lists of them, one per layer or one per gate")
    return float(value)


Bound = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Threshold = Annotated[float | list[Any], PlainValidator(_theta)]
"""θ as one number, a list with one per layer, or lists with one per gate."""


class StackManifest(FrozenRecord):
    """Stack of equal recurrent layers, as one torch module holds them."""

    prefix: str
    cell: str
    input_size: int = Field(ge=1, strict=True)
    hidden_size: int = Field(ge=1, strict=True)
    num_layers: int = Field(default=1, ge=1, strict=True)
    bidirectional: bool = Field(default=False, strict=True)
    proj_size: int = Field(default=0, ge=0, strict=True)
    """Hidden values of a direction that a projection makes of its units, as torch names it; 0 without one."""
    role: Literal["encoder", "decoder"] = "encoder"

    @field_validator("cell")
    @classmethod
    def _supported(cls, value: str) -> str:
        if value not in CELLS:
            raise ValueError(f"not supported{did_you_mean(value, CELLS)}; accepted: {', '.join(CELLS)}")
        return value


class EmbeddingManifest(FrozenRecord):
    """Names of the embedding table and of the file that converts text to tokens."""

    weight: str
    vocabulary: str | None = None
    """Name of a file with one word per line."""
    subwords: str | None = None
    """Name of a sentencepiece model."""


class MeanLinearManifest(FrozenRecord):
    """Classifier on the mean of the top layer's outputs."""

    kind: Literal["mean-linear"]
    weight: str
    bias: str


class CtcManifest(FrozenRecord):
    """CTC head, which gives a word or a blank at every step; the first label is the blank."""

    kind: Literal["ctc"]
    weight: str
    bias: str
    labels: tuple[str, ...] = Field(min_length=2)


class DecoderManifest(FrozenRecord):
    """Attention and output layer of the decoder stack."""

    kind: Literal["attention-decoder"]
    attention: str
    combine_weight: str
    combine_bias: str
    output_bias: str


HeadManifest = Annotated[MeanLinearManifest | CtcManifest | DecoderManifest, Field(discriminator="kind")]


def reaches(threshold: Any, highest: float | None) -> bool:
    """Return whether a θ, or one of a list of them, is the largest that a search up to `highest` could try."""
    if isinstance(threshold, list):
        return any(reaches(part, highest) for part in threshold)
    return highest is not None and bool(threshold >= highest * (1 - 1e-6))


class CalibratedPoint(FrozenRecord):
    """Threshold with its reuse and loss on the calibration trace."""

    max_loss: Bound | None = None
    """Largest loss allowed, in points of the metric; None if the bound was `max_change`."""
    max_change: Bound | None = None
    """Largest change of the outputs allowed, as a fraction."""
    threshold: Threshold
    reuse_fraction: float
    metric_loss: float | None = None
    metric_loss_low: float | None = None
    metric_loss_high: float | None = None
    """Ends of the bootstrap interval of the loss."""
    output_change: float | None = None
    """Change of the outputs (SEMANTICS 1.5), where that was the bound."""


class CalibrationManifest(FrozenRecord):
    """Evidence for the threshold of a policy, as `archsim calibrate --save` writes it."""

    trace: str
    trace_digest: str
    sequences: int
    precision: str
    per: Per = "network"
    """Scope of one θ."""
    metric_baseline: float | None = None
    """The metric without reuse; None if the bound was on the change of the outputs."""
    margin: float
    """Standard errors by which a loss had to stay below its bound."""
    highest: float | None = None
    """Largest θ that the search could try; None in files of older versions."""
    confidence: float
    points: tuple[CalibratedPoint, ...]


Scale = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Mean = Annotated[float, Field(allow_inf_nan=False)]


class ScalesManifest(FrozenRecord):
    """Magnitudes and means of inputs and hidden values on calibration data, as `archsim calibrate` measures them."""

    trace: str
    trace_digest: str
    sequences: int
    precision: str
    inputs: tuple[Scale, ...]
    """Mean |x| by layer."""
    hidden: tuple[tuple[Scale, ...], ...]
    """Mean |h| by layer and direction."""
    largest_inputs: tuple[Scale, ...] | None = None
    """Largest |x| by layer in fp32; None in files of older versions."""
    largest_hidden: tuple[tuple[Scale, ...], ...] | None = None
    """Largest |h| by layer and direction in fp32; None in files of older versions."""
    means: tuple[tuple[Mean, ...], ...] | None = None
    """Mean of each element of x by layer; None in files of older versions."""


class Manifest(FrozenRecord):
    """Content of `network.toml`."""

    name: str
    description: str = ""
    provenance: str = ""
    metric: str | None = None
    default_trace: str | None = None
    corpus: str | None = None
    """Name of the public corpus of the network's task, which `archsim run --split` reads."""
    frontend: str | None = None
    stacks: tuple[StackManifest, ...] = Field(min_length=1)
    embedding: EmbeddingManifest | None = None
    head: HeadManifest | None = None
    thresholds: dict[str, Threshold] = Field(default_factory=dict)
    calibration: dict[str, CalibrationManifest] = Field(default_factory=dict)
    scales: ScalesManifest | None = None

    @field_validator("metric")
    @classmethod
    def _registered(cls, value: str | None) -> str | None:
        if value is not None and value not in METRICS:
            more = "or one that a plug-in registers"
            raise ValueError(f"not known{did_you_mean(value, METRICS)}; accepted: {', '.join(METRICS)}, {more}")
        return value
