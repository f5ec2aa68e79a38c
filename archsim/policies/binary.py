"""The paper's predictor: a binary network, the signs of weights and inputs (SEMANTICS 1.3)."""

from __future__ import annotations

import numpy as np

from archsim.config.predictor import Predictor
from archsim.kernels.arrays import F32, I32
from archsim.kernels.binary import binary_products, pack_joint_signs
from archsim.policies.predicted import PredictedPolicy
from archsim.policies.protocol import PassContext, Step


class BinaryPolicy(PredictedPolicy):
    """Watch the binary network."""

    name = "bnn"

    def __init__(self, *, throttle: bool = True, guard: int = 0) -> None:
        super().__init__(throttle=throttle, guard=guard)

    @property
    def predictor(self) -> Predictor:
        """One plane, the signs."""
        return Predictor(drift_bytes=4 * self.throttle)

    def predict_in(self, context: PassContext) -> BinaryNetwork:
        """Pack the signs of the weights."""
        return BinaryNetwork(context)


class BinaryNetwork:
    """Signs of a pass's weights."""

    unit: F32 | None = None

    def __init__(self, context: PassContext) -> None:
        self.n_bits = context.weight_ih.shape[1] + context.weight_hh.shape[1]
        self.weights_t = np.ascontiguousarray(pack_joint_signs(context.weight_ih, context.weight_hh).T)

    def predict(self, step: Step) -> I32:
        """The binary products."""
        return binary_products(pack_joint_signs(step.x, step.h), self.weights_t, self.n_bits)
