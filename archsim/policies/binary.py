"""The paper's predictor: a binary network, the signs of weights and inputs (SEMANTICS 1.3)."""

from __future__ import annotations

import numpy as np

from archsim.config.predictor import BitPlanePredictor
from archsim.kernels.prediction.bitplanes import pack_joint_signs
from archsim.kernels.prediction.reuse_decider import NO_NETWORK, SIGNS, PredictorNetwork
from archsim.policies.predicted import DRIFT_BYTES, PredictedPolicy
from archsim.policies.protocol import PassContext


class BinaryPolicy(PredictedPolicy):
    """Policy that predicts with the binary network: signs of weights and inputs."""

    name = "bnn"
    predictor_kind = SIGNS

    def __init__(self, *, throttle: bool = True, guard: int = 0) -> None:
        super().__init__(throttle=throttle, guard=guard)

    @property
    def predictor(self) -> BitPlanePredictor:
        """Hardware with one bit plane, the signs."""
        return BitPlanePredictor(drift_bytes=DRIFT_BYTES if self.throttle else 0)

    def predictor_network(self, context: PassContext) -> PredictorNetwork:
        """Return the signs of the weights."""
        signs = pack_joint_signs(context.weight_ih, context.weight_hh)
        return NO_NETWORK._replace(weights_t=np.ascontiguousarray(signs.T)[None])
