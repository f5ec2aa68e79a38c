"""The oracle: reuse wherever the exact product changed little; the bound of the scheme (SEMANTICS 1.4)."""

from __future__ import annotations

import numpy as np

from archsim.kernels.arrays import Bools
from archsim.kernels.reuse import decide_by_change
from archsim.policies.protocol import PassContext, Step


class OraclePolicy:
    """Relative change of the exact product against the memoized one, no throttling."""

    name = "oracle"
    needs_threshold = True
    uses_memo_unit = True

    def begin(self, context: PassContext) -> OraclePass:
        """Start a pass."""
        return OraclePass(context)


class OraclePass:
    """The oracle needs no memory of its own: the memo of products is its reference."""

    def __init__(self, context: PassContext) -> None:
        self.thresholds = context.thresholds

    def decide(self, step: Step) -> Bools:
        """Reuse where |y - y_m| <= θ·|y|."""
        reused = np.zeros(step.shape, np.bool_)
        if step.index > 0:
            decide_by_change(step.exact, step.memo, self.thresholds, reused)
        return reused
