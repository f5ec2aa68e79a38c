"""Base of the policies that reuse while a cheap prediction of the dot product changes little (SEMANTICS 1.4)."""

from __future__ import annotations

from archsim.config.predictor import Predictor
from archsim.errors import ConfigError
from archsim.kernels.prediction.reuse_decider import PredictorNetwork, make_reuse_decider
from archsim.policies.kernel_pass import KernelPass
from archsim.policies.options import spelled
from archsim.policies.protocol import PassContext

DRIFT_BYTES = 4
"""Bytes of the drift in a memo entry, float32."""


class PredictedPolicy:
    """Policy that reuses while the relative change of a prediction, summed over consecutive reuses, is within θ.

    throttle: whether changes are summed; guard: evaluate everything every so many steps, 0 for never.
    """

    name: str
    needs_threshold = True
    uses_memo_unit = True
    needs_scales = False
    """Whether predictions need the scales of inputs on calibration data."""
    predictor_kind: int
    """Kind of predictor network (archsim/kernels/prediction/reuse_decider.py)."""

    def __init__(self, *, throttle: bool = True, guard: int = 0, **options: bool | int) -> None:
        self.name = spelled(type(self), self.name, throttle=throttle, guard=guard, **options)
        if guard < 0:
            raise ConfigError(f"policy {self.name!r}: guard = {guard}: need a number of steps >= 0")
        self.throttle = throttle
        self.guard = guard

    @property
    def predictor(self) -> Predictor:
        """Hardware of the predictor in the memoization unit."""
        raise NotImplementedError

    def predictor_network(self, context: PassContext) -> PredictorNetwork:
        """Return the predictor network beside a pass's weights."""
        raise NotImplementedError

    def begin(self, context: PassContext) -> KernelPass:
        """Make the predictor network and return a pass with an empty memo."""
        decider = make_reuse_decider(
            self.predictor_kind,
            context.thresholds,
            context.batch,
            context.n_units,
            self.predictor_network(context),
            n_inputs=context.weight_ih.shape[1] + context.weight_hh.shape[1],
            throttle=self.throttle,
            guard=self.guard,
        )
        return KernelPass(decider)
