"""Heads, which turn the outputs of the top layer into the result of the task. They are costed but not memoized."""

from __future__ import annotations

from dataclasses import dataclass

from archsim.errors import NetworkError
from archsim.kernels.arrays import F32
from archsim.ownership import OwnsArrays


@dataclass(frozen=True, eq=False)
class MeanClassifier(OwnsArrays):
    """Linear map of the mean over time, which gives one class per sequence."""

    weight: F32
    """Weights (classes, D·H)."""
    bias: F32
    """Bias (classes,)."""
    predicts = int
    """Type of its predictions: a class number per sequence."""

    def check(self, name: str, inputs: int) -> None:
        """Raise NetworkError unless the head takes `inputs` numbers per step."""
        _check_linear(name, "head", self.weight, self.bias, inputs)


@dataclass(frozen=True, eq=False)
class CtcHead(OwnsArrays):
    """Linear map at every step, whose best path gives one transcript per sequence (Graves et al., ICML 2006)."""

    weight: F32
    """Weights (labels, D·H)."""
    bias: F32
    """Bias (labels,)."""
    labels: tuple[str, ...]
    """Words by output. The first is the blank, which stands for no word."""
    predicts = str
    """Type of its predictions: a text per sequence."""

    def check(self, name: str, inputs: int) -> None:
        """Raise NetworkError unless the head takes `inputs` numbers per step and has one label per output."""
        _check_linear(name, "head", self.weight, self.bias, inputs)
        if len(self.labels) != self.bias.size:
            raise NetworkError(
                f"{name}: head has {self.bias.size} outputs and {len(self.labels)} labels, need the same number"
            )


@dataclass(frozen=True, eq=False)
class AttentionDecoder(OwnsArrays):
    """Luong's general attention over the encoder, and an output layer that shares the embedding table.

    Decoding is greedy: the input of a step is the embedding of the previous piece (Luong et al., EMNLP 2015).
    """

    attention: F32
    """Attention weights (H of the encoder, H of the decoder)."""
    combine_weight: F32
    """Weights (I, H of the encoder + H of the decoder), where I is the width of the embedding."""
    combine_bias: F32
    """Bias (I,)."""
    output_bias: F32
    """Bias of the output (V,)."""
    start: int
    """Token that begins a decoded sequence."""
    end: int
    """Token that ends a decoded sequence."""
    predicts = str
    """Type of its predictions: a text per sequence."""

    def step_limit(self, source_steps: int) -> int:
        """Return the steps after which decoding stops without an end token."""
        return 2 * source_steps + 10

    def check(self, name: str, encoder: int, decoder: int, table: tuple[int, ...]) -> None:
        """Raise NetworkError for a shape that does not match encoder, decoder and embedding table (V, I)."""
        for field, array, need in (
            ("attention", self.attention, (encoder, decoder)),
            ("combine weight", self.combine_weight, (table[1], encoder + decoder)),
            ("combine bias", self.combine_bias, (table[1],)),
            ("output bias", self.output_bias, (table[0],)),
        ):
            if array.shape != need:
                raise NetworkError(f"{name}: {field} has shape {array.shape}, need {need}")
        for field, token in (("start", self.start), ("end", self.end)):
            if not 0 <= token < table[0]:
                raise NetworkError(f"{name}: {field} token is {token}, need 0 to {table[0] - 1}")


Head = MeanClassifier | CtcHead | AttentionDecoder


def _check_linear(name: str, what: str, weight: F32, bias: F32, inputs: int) -> None:
    if bias.ndim != 1 or bias.size < 2 or weight.shape != (*bias.shape, inputs):
        need = f"(outputs, {inputs}) and (outputs,), two or more"
        raise NetworkError(f"{name}: {what} has weight {weight.shape} and bias {bias.shape}, need {need}")
