"""Policies that skip what did not change at the input: delta networks, and input similarity."""

from __future__ import annotations

import numpy as np

from archsim.kernels.arrays import F32, Bools
from archsim.policies.columns import ColumnContext, ColumnStep

LARGEST_CODE = 1 << 23
"""Beyond it float32 itself is coarser than the quantiser."""


class DeltaPolicy:
    """Delta-network policy: an input enters the products when it has moved by more than θ since it last entered.

    Neil et al., ICML 2017.
    """

    name = "delta"
    needs_threshold = True
    uses_memo_unit = False
    by_columns = True

    def begin(self, context: ColumnContext) -> DeltaPass:
        """Return a pass that skips changes of at most θ."""
        return DeltaPass(context.threshold)


class DeltaPass:
    """Pass of the delta policy; holds θ, the largest change that is skipped."""

    def __init__(self, threshold: float) -> None:
        self.threshold = np.float32(threshold)

    def represent(self, inputs: F32) -> F32:
        """Return the inputs unchanged."""
        return inputs

    def decide(self, step: ColumnStep) -> Bools:
        """Return a mask of the elements with |v - v̂| <= θ."""
        if step.index == 0:
            return np.zeros(step.values.shape, np.bool_)
        skipped: Bools = np.abs(step.values - step.propagated) <= self.threshold
        return skipped


class InputSimilarityPolicy:
    """Input-similarity policy: an input is quantised with level spacing θ, and skipped while its code stays the same.

    Riera et al., ISCA 2018.
    """

    name = "input-similarity"
    needs_threshold = True
    uses_memo_unit = False
    by_columns = True

    def begin(self, context: ColumnContext) -> InputSimilarityPass:
        """Return a pass whose quantiser has level spacing θ."""
        return InputSimilarityPass(context.threshold)


class InputSimilarityPass:
    """Pass with a linear quantiser: code = rint(v / θ), value = code·θ. With θ = 0 a value is its own code."""

    def __init__(self, spacing: float) -> None:
        self.spacing = np.float32(spacing)

    def represent(self, inputs: F32) -> F32:
        """Return the value of each element's code."""
        if self.spacing == 0:
            return inputs
        with np.errstate(over="ignore"):
            codes = np.rint(inputs / self.spacing)
        values: F32 = np.where(np.abs(codes) < LARGEST_CODE, codes, 0) * self.spacing
        return np.where(np.abs(codes) < LARGEST_CODE, values, inputs)

    def decide(self, step: ColumnStep) -> Bools:
        """Return a mask of the elements whose quantised value equals the propagated one."""
        if step.index == 0:
            return np.zeros(step.values.shape, np.bool_)
        skipped: Bools = step.values == step.propagated
        return skipped
