"""No reuse: every neuron is evaluated, and the machine has no memoization unit."""

from __future__ import annotations

import numpy as np

from archsim.kernels.arrays import Bools
from archsim.policies.protocol import PassContext, Step


class NoReuse:
    """The baseline."""

    name = "none"
    needs_threshold = False
    uses_memo_unit = False

    def begin(self, context: PassContext) -> NoReuse:
        """Nothing to remember."""
        return self

    def decide(self, step: Step) -> Bools:
        """Nobody reuses."""
        return np.zeros(step.shape, np.bool_)
