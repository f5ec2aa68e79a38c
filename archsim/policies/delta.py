"""Policies that skip what did not change at the input: delta networks, and input similarity."""

from __future__ import annotations

import numpy as np

from archsim.kernels.arrays import F32, Bools
from archsim.policies.columns import ColumnContext, ColumnStep

LARGEST_CODE = 1 << 23
"""Beyond it float32 itself is coarser than the quantiser."""


class DeltaPolicy:
    """An input enters the products only where it moved by more than θ since it last did (Neil et al., ICML 2017)."""

    name = "delta"
    needs_threshold = True
    uses_memo_unit = False
    by_columns = True

    def begin(self, context: ColumnContext) -> DeltaPass:
        """Take θ; what has been propagated is the pass's own to remember."""
        return DeltaPass(context.threshold)


class DeltaPass:
    """State of a pass: the least movement that enters."""

    def __init__(self, threshold: float) -> None:
        self.threshold = np.float32(threshold)

    def represent(self, inputs: F32) -> F32:
        """Return the inputs unchanged."""
        return inputs

    def decide(self, step: ColumnStep) -> Bools:
        """Skip where |v - v̂| <= θ."""
        if step.index == 0:
            return np.zeros(step.values.shape, np.bool_)
        skipped: Bools = np.abs(step.values - step.propagated) <= self.threshold
        return skipped


class InputSimilarityPolicy:
    """Inputs are quantised in steps of θ; one whose code did not change is skipped (Riera et al., ISCA 2018)."""

    name = "input-similarity"
    needs_threshold = True
    uses_memo_unit = False
    by_columns = True

    def begin(self, context: ColumnContext) -> InputSimilarityPass:
        """Take the quantiser's step."""
        return InputSimilarityPass(context.threshold)


class InputSimilarityPass:
    """A linear quantiser: code = rint(v / θ), value = code·θ; with θ = 0 a value is its own code."""

    def __init__(self, step: float) -> None:
        self.step = np.float32(step)

    def represent(self, inputs: F32) -> F32:
        """Return the value of each element's code."""
        if self.step == 0:
            return inputs
        with np.errstate(over="ignore"):
            codes = np.rint(inputs / self.step)
        values: F32 = np.where(np.abs(codes) < LARGEST_CODE, codes, 0) * self.step
        return np.where(np.abs(codes) < LARGEST_CODE, values, inputs)

    def decide(self, step: ColumnStep) -> Bools:
        """Skip where the code did not change, which is where its value did not."""
        if step.index == 0:
            return np.zeros(step.values.shape, np.bool_)
        skipped: Bools = step.values == step.propagated
        return skipped
