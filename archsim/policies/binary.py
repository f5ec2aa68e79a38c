"""The paper's predictor: a binary network watches for change, throttled by accumulated drift (SEMANTICS 1.3, 1.4)."""

from __future__ import annotations

import numpy as np

from archsim.kernels.arrays import Bools
from archsim.kernels.binary import binary_products, pack_joint_signs
from archsim.kernels.reuse import decide_by_drift
from archsim.policies.protocol import PassContext, Step


class BinaryPolicy:
    """Reuse while the binary network's relative change, summed over consecutive reuses, stays within θ."""

    name = "bnn"
    needs_threshold = True
    uses_memo_unit = True

    def __init__(self, *, throttle: bool = True) -> None:
        self.throttle = throttle

    def begin(self, context: PassContext) -> BinaryPass:
        """Pack the weight signs and empty the memo."""
        return BinaryPass(context, self.throttle)


class UnthrottledBinaryPolicy(BinaryPolicy):
    """The same without throttling: only the change against the memo counts, not its sum."""

    name = "bnn-unthrottled"

    def __init__(self) -> None:
        super().__init__(throttle=False)


class BinaryPass:
    """Memoized binary outputs and the drift of every neuron."""

    def __init__(self, context: PassContext, throttle: bool) -> None:
        shape = (context.batch, context.n_gates, context.n_units)
        self.n_bits = context.weight_ih.shape[1] + context.weight_hh.shape[1]
        self.weights_t = np.ascontiguousarray(pack_joint_signs(context.weight_ih, context.weight_hh).T)
        self.thresholds, self.throttle = context.thresholds, throttle
        self.memo = np.zeros(shape, np.int32)
        self.drift = np.zeros(shape, np.float32)

    def decide(self, step: Step) -> Bools:
        """Compare the binary outputs with the memoized ones and add up the drift."""
        batch = step.shape[0]
        now = binary_products(pack_joint_signs(step.x, step.h), self.weights_t, self.n_bits).reshape(step.shape)
        reused = np.zeros(step.shape, np.bool_)
        if step.index == 0:
            self.memo[:batch] = now
        else:
            # Drift is summed, not compared step by step: a slow ramp would otherwise be reused for ever.
            decide_by_drift(now, self.memo[:batch], self.drift[:batch], self.thresholds, self.throttle, reused)
        return reused
