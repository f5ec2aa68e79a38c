"""The paper's predictor: a binary network, the signs of weights and inputs (SEMANTICS 1.3)."""

from __future__ import annotations

import numpy as np

from archsim.config.predictor import BitPlanePredictor
from archsim.kernels.prediction.bitplanes import pack_joint_signs
from archsim.kernels.prediction.reuse_decider import NO_NETWORK, SIGNS, PredictorNetwork
from archsim.policies.predicted import DRIFT_BYTES, PredictedPolicy
from archsim.policies.protocol import PassContext


class BinaryPolicy(PredictedPolicy):
    """Policy that predicts with the binary network: signs of weights and inputs.

    centre: whether the sign of an input of the layer is that of its difference from its mean on calibration data.
    """

    name = "bnn"
    predictor_kind = SIGNS

    def __init__(self, *, throttle: bool = True, guard: int = 0, centre: bool = False) -> None:
        super().__init__(throttle=throttle, guard=guard, centre=centre)
        self.centre = centre

    @property
    def needs_means(self) -> bool:
        """Whether predictions need the means of inputs on calibration data."""
        return self.centre

    @property
    def predictor(self) -> BitPlanePredictor:
        """Hardware with one bit plane, the signs, and with levels of inputs where they are centred."""
        return BitPlanePredictor(drift_bytes=DRIFT_BYTES if self.throttle else 0, levels=int(self.centre))

    def predictor_network(self, context: PassContext) -> PredictorNetwork:
        """Return the signs of the weights."""
        signs = pack_joint_signs(context.weight_ih, context.weight_hh)
        network = NO_NETWORK._replace(weights_t=np.ascontiguousarray(signs.T)[None])
        if not self.centre:
            return network
        assert context.means is not None, "checked before any pass begins"
        # x - μ >= 0 is the same as x >= μ, so the machine compares with a level and subtracts nothing.
        n_hidden = context.weight_hh.shape[1]
        return network._replace(sign_levels=np.concatenate([context.means, np.zeros(n_hidden, np.float32)]))
