"""A pass whose reuse a kernel decides, so that many steps run in one call: that of every built-in policy by neurons."""

from __future__ import annotations

import numpy as np

from archsim.kernels.arrays import F32, Bools
from archsim.kernels.prediction.reuse_decider import ReuseDecider, decide
from archsim.policies.protocol import Step


class KernelPass:
    """The running state of a policy on one pass; a plug-in may begin one and ask it, too, step by step."""

    def __init__(self, decider: ReuseDecider) -> None:
        self.decider = decider
        self.correction: F32 | None = None

    def decide(self, step: Step) -> Bools:
        """Return which neurons reuse their memo, (B, G, H)."""
        reused = decide(self.decider, step.index, step.x, step.h, step.products, step.memo_products)
        if self.decider.small.unit.size:  # where a neuron is evaluated, its memo is the prediction of now
            now, memo = (predictions[: len(reused)] for predictions in (self.decider.now, self.decider.memo))
            self.correction = (now - memo).astype(np.float32) * self.decider.small.unit.reshape(step.shape[1:])
        return reused
