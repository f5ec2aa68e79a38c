"""Pass of the built-in reuse policies: a kernel decides, so that many steps run in one call."""

from __future__ import annotations

import numpy as np

from archsim.kernels.arrays import F32, Bools
from archsim.kernels.prediction.reuse_decider import ReuseDecider, decide
from archsim.policies.protocol import Step


class KernelPass:
    """Pass whose decisions a kernel makes; a plug-in may also call `decide` at each step."""

    def __init__(self, decider: ReuseDecider) -> None:
        self.decider = decider
        self.correction: F32 | None = None

    def decide(self, step: Step) -> Bools:
        """Return which neurons reuse their memo, (B, G, H)."""
        reused = decide(self.decider, step.index, step.x, step.h, step.products, step.memo_products)
        scale = self.decider.network.correction_scale
        if scale.size:  # an evaluated neuron has now == memo, so it is not corrected
            now, memo = self.decider.now[: len(reused)], self.decider.memo[: len(reused)]
            self.correction = (now - memo).astype(np.float32) * scale.reshape(step.shape[1:])
        return reused
