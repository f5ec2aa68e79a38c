"""Reuse while a cheap prediction of a neuron's dot product changes little: the rule of SEMANTICS 1.4."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from archsim.config.predictor import Predictor
from archsim.errors import ConfigError
from archsim.kernels.arrays import F32, I32, Bools
from archsim.kernels.reuse import decide_by_drift
from archsim.policies.options import spelled
from archsim.policies.protocol import PassContext, Step


class Predict(Protocol):
    """A small network beside a layer."""

    unit: F32 | None
    """What 1 stands for in each neuron's prediction, (G·H,); None where reused products are not corrected by it."""

    def predict(self, step: Step) -> I32:
        """Return the predicted dot product of each neuron, (B, G·H) int32, in that unit."""


class PredictedPolicy:
    """Reuse while the relative change of a prediction, summed over consecutive reuses, stays within θ.

    throttle: whether changes are summed; guard: evaluate everything every so many steps, 0 for never.
    """

    name: str
    needs_threshold = True
    uses_memo_unit = True
    needs_scales = False
    """Whether predictions need to know how large inputs are on calibration data."""

    def __init__(self, *, throttle: bool = True, guard: int = 0, **options: bool | int) -> None:
        self.name = spelled(type(self), self.name, throttle=throttle, guard=guard, **options)
        if guard < 0:
            raise ConfigError(f"policy {self.name!r}: guard = {guard}: need a number of steps >= 0")
        self.throttle, self.guard = throttle, guard

    @property
    def predictor(self) -> Predictor:
        """What it asks of the memoization unit."""
        raise NotImplementedError

    def predict_in(self, context: PassContext) -> Predict:
        """The predictor of one pass."""
        raise NotImplementedError

    def begin(self, context: PassContext) -> PredictedPass:
        """Make the small network and empty the memo."""
        return PredictedPass(self, self.predict_in(context), context)


class PredictedPass:
    """Memoized predictions and the drift of every neuron."""

    def __init__(self, policy: PredictedPolicy, small: Predict, context: PassContext) -> None:
        shape = (context.batch, context.n_gates, context.n_units)
        self.small, self.thresholds = small, context.thresholds
        self.throttle, self.guard = policy.throttle, policy.guard
        self.memo = np.zeros(shape, np.int32)
        self.drift = np.zeros(shape, np.float32)
        self.correction: F32 | None = None

    def decide(self, step: Step) -> Bools:
        """Compare the predictions with the memoized ones and add up the drift."""
        batch = step.shape[0]
        now = self.small.predict(step).reshape(step.shape)
        memo, drift = self.memo[:batch], self.drift[:batch]
        reused = np.zeros(step.shape, np.bool_)
        if step.index == 0 or (self.guard and step.index % self.guard == 0):
            memo[:], drift[:] = now, 0
        else:
            # Drift is summed, not compared step by step: a slow ramp would otherwise be reused for ever.
            decide_by_drift(now, memo, drift, self.thresholds, self.throttle, reused)
        if self.small.unit is not None:  # where a neuron is evaluated, its memo is `now`
            self.correction = (now - memo).astype(np.float32) * self.small.unit.reshape(step.shape[1:])
        return reused
