"""What `network.toml` may say."""

from __future__ import annotations

import sys
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator, field_validator

from archsim.errors import did_you_mean
from archsim.ir.cells import CELLS
from archsim.validation import FrozenRecord

FLOAT_MAX = sys.float_info.max
Per = Literal["network", "layer", "gate", "kind"]
"""What has a θ of its own."""


def _theta(value: Any) -> Any:
    """θ as TOML and JSON hold it; the network says later whether its lists have the right lengths."""
    if isinstance(value, list) and value:
        return [_theta(part) for part in value]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= FLOAT_MAX:
        raise ValueError("need a number >= 0, or lists of them, one a layer or one a gate")
    return float(value)


Bound = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Threshold = Annotated[float | list[Any], PlainValidator(_theta)]
"""One number, a list with one a layer, or lists with one a gate."""


class StackManifest(FrozenRecord):
    """A stack of equal recurrent layers, as one torch module holds them."""

    prefix: str
    cell: str
    input_size: int = Field(ge=1, strict=True)
    hidden_size: int = Field(ge=1, strict=True)
    num_layers: int = Field(default=1, ge=1, strict=True)
    bidirectional: bool = Field(default=False, strict=True)
    role: Literal["encoder", "decoder"] = "encoder"

    @field_validator("cell")
    @classmethod
    def _supported(cls, value: str) -> str:
        if value not in CELLS:
            raise ValueError(f"not supported{did_you_mean(value, CELLS)}; accepted: {', '.join(CELLS)}")
        return value


class EmbeddingManifest(FrozenRecord):
    """Names of the embedding table and of the file beside it that makes tokens of text."""

    weight: str
    vocabulary: str | None = None
    """Words, one a line."""
    subwords: str | None = None
    """A sentencepiece model."""


class MeanLinearManifest(FrozenRecord):
    """A classifier on the mean of the top layer's outputs."""

    kind: Literal["mean-linear"]
    weight: str
    bias: str


class CtcManifest(FrozenRecord):
    """A word or a blank at every step; the first label is the blank."""

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
    """Return whether a θ, or one of a list of them, is the last that a search up to `highest` could try."""
    if isinstance(threshold, list):
        return any(reaches(part, highest) for part in threshold)
    return highest is not None and bool(threshold >= highest * (1 - 1e-6))


class CalibratedPoint(FrozenRecord):
    """A threshold, and what it did to the calibration trace."""

    max_loss: Bound
    """Points of the metric that were allowed."""
    threshold: Threshold
    reuse_fraction: float
    metric_loss: float
    metric_loss_low: float
    metric_loss_high: float
    """Ends of the bootstrap interval of the loss."""


class CalibrationManifest(FrozenRecord):
    """The evidence behind a policy's threshold, as `archsim calibrate --save` writes it."""

    trace: str
    trace_digest: str
    sequences: int
    precision: str
    per: Per = "network"
    """What has a θ of its own."""
    metric_baseline: float
    margin: float
    """Standard errors that a loss had to stay below its bound."""
    highest: float | None = None
    """The largest θ that the search could try; None where an older version did not say."""
    confidence: float
    points: tuple[CalibratedPoint, ...]


Scale = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class ScalesManifest(FrozenRecord):
    """Mean magnitudes of inputs and hidden values on calibration data, as `archsim calibrate` measures it."""

    trace: str
    trace_digest: str
    sequences: int
    precision: str
    inputs: tuple[Scale, ...]
    """Mean |x| by layer."""
    hidden: tuple[tuple[Scale, ...], ...]
    """Mean |h| by layer and direction."""


class Manifest(FrozenRecord):
    """Everything `network.toml` may say."""

    name: str
    description: str = ""
    provenance: str = ""
    metric: Literal["accuracy", "wer", "bleu"] | None = None
    default_trace: str | None = None
    corpus: str | None = None
    """Public corpus of the network's task, as `archsim run --split` names it."""
    frontend: str | None = None
    stacks: tuple[StackManifest, ...] = Field(min_length=1)
    embedding: EmbeddingManifest | None = None
    head: HeadManifest | None = None
    thresholds: dict[str, Threshold] = Field(default_factory=dict)
    calibration: dict[str, CalibrationManifest] = Field(default_factory=dict)
    scales: ScalesManifest | None = None
