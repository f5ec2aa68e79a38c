"""Policies that skip what did not change at the input: delta networks, and input similarity."""

from __future__ import annotations

import numpy as np

from archsim.config.delta_unit import MAX_TAIL_BITS
from archsim.errors import ConfigError
from archsim.kernels.arrays import F32, Bools
from archsim.policies.columns import ColumnContext, ColumnStep
from archsim.policies.options import spelled

LARGEST_CODE = 1 << 23
"""Beyond it float32 itself is coarser than the quantiser."""
FLOAT32_MAX = float(np.finfo(np.float32).max)


class ColumnSkipping:
    """Base of the policies that skip unchanged inputs.

    weighted: whether θ is in units of pre-activations, so that each input has a threshold of its own (SEMANTICS 1.4).
    options: further options that the name spells out.
    """

    name: str
    needs_threshold = True
    uses_memo_unit = False
    by_columns = True

    def __init__(self, *, weighted: bool = False, **options: bool | int) -> None:
        self.name = spelled(type(self), self.name, weighted=weighted, **options)
        self.weighted = weighted

    @property
    def threshold_per_input(self) -> bool:
        """Whether the delta units keep a threshold of each input."""
        return self.weighted


class DeltaPolicy(ColumnSkipping):
    """Delta-network policy: an input enters the products when it has moved by more than θ since it last entered.

    Neil et al., ICML 2017. weighted: whether the move counts as multiplied by the weight of its input.
    tail: bits of the codes through which what has not entered goes; 0 for none.
    """

    name = "delta"

    def __init__(self, *, weighted: bool = False, tail: int = 0) -> None:
        super().__init__(weighted=weighted, tail=tail)
        if not 0 <= tail <= MAX_TAIL_BITS:
            raise ConfigError(f"policy {self.name!r}: tail = {tail}: need 1 to {MAX_TAIL_BITS} bits, or 0 for none")
        if tail and not weighted:
            raise ConfigError(
                f"policy {self.name!r}: tail = {tail}: need weighted=on, because its codes count shares of the "
                "threshold of each input"
            )
        self.tail_bits = tail

    def begin(self, context: ColumnContext) -> DeltaPass:
        """Return a pass that skips changes of at most θ."""
        return DeltaPass(context.threshold, context.input_weights if self.weighted else np.float32(1))


class DeltaPass:
    """Pass of the delta policy; holds θ, the largest change that is skipped, and the factor on each input's change."""

    def __init__(self, threshold: float, factors: F32 | np.float32) -> None:
        self.threshold = np.float32(threshold)
        self.factors = factors

    def represent(self, inputs: F32) -> F32:
        """Return the inputs unchanged."""
        return inputs

    def decide(self, step: ColumnStep) -> Bools:
        """Return a mask of the elements with |v - v̂|·ρ <= θ, where ρ is 1 unless weighted."""
        if step.index == 0:
            return np.zeros(step.values.shape, np.bool_)
        skipped: Bools = np.abs(step.values - step.propagated) * self.factors <= self.threshold
        return skipped


class InputSimilarityPolicy(ColumnSkipping):
    """Input-similarity policy: an input is quantised with level spacing θ, and skipped while its code stays the same.

    Riera et al., ISCA 2018. weighted: whether the level spacing of each input is θ divided by the input's weight.
    """

    name = "input-similarity"

    def begin(self, context: ColumnContext) -> InputSimilarityPass:
        """Return a pass whose quantiser has level spacing θ."""
        spacing = np.float32(context.threshold)
        if not self.weighted:
            return InputSimilarityPass(np.full(context.n_inputs, spacing))
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            spacings: F32 = spacing / context.input_weights
        # A column of zeros would have an infinite spacing; with the largest finite one its code is 0 as well. 0/0 is
        # a spacing of 0, because θ = 0 quantises nothing.
        return InputSimilarityPass(np.nan_to_num(spacings, posinf=FLOAT32_MAX).astype(np.float32))


class InputSimilarityPass:
    """Pass with a linear quantiser per input of spacing s: code = rint(v / s), value = code·s.

    A spacing of 0 leaves the values alone.
    """

    def __init__(self, spacings: F32) -> None:
        self.spacings = spacings

    def represent(self, inputs: F32) -> F32:
        """Return the value of each element's code."""
        if not self.spacings.any():
            return inputs
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            codes = np.rint(inputs / self.spacings)
        values: F32 = np.where(np.abs(codes) < LARGEST_CODE, codes, 0) * self.spacings
        return np.where(np.abs(codes) < LARGEST_CODE, values, inputs)

    def decide(self, step: ColumnStep) -> Bools:
        """Return a mask of the elements whose quantised value equals the propagated one."""
        if step.index == 0:
            return np.zeros(step.values.shape, np.bool_)
        skipped: Bools = step.values == step.propagated
        return skipped


def input_weights(weight_ih: F32, weight_hh: F32) -> F32:
    """Return ρ = √N · rms over all rows of each column of the weights, (N,): float64 sums, rounded to float32."""
    squares = np.concatenate([np.square(part, dtype=np.float64).mean(axis=0) for part in (weight_ih, weight_hh)])
    weights: F32 = np.sqrt(len(squares) * squares).astype(np.float32)
    return weights
