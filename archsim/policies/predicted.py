"""Reuse while a cheap prediction of a neuron's dot product changes little: the rule of SEMANTICS 1.4."""

from __future__ import annotations

from archsim.config.predictor import Predictor
from archsim.errors import ConfigError
from archsim.kernels.deciding import Small, make_decider
from archsim.policies.decided import DecidedPass
from archsim.policies.options import spelled
from archsim.policies.protocol import PassContext


class PredictedPolicy:
    """Reuse while the relative change of a prediction, summed over consecutive reuses, stays within θ.

    throttle: whether changes are summed; guard: evaluate everything every so many steps, 0 for never.
    """

    name: str
    needs_threshold = True
    uses_memo_unit = True
    needs_scales = False
    """Whether predictions need to know how large inputs are on calibration data."""
    watches: int
    """The kind of small network (archsim/kernels/deciding.py)."""

    def __init__(self, *, throttle: bool = True, guard: int = 0, **options: bool | int) -> None:
        self.name = spelled(type(self), self.name, throttle=throttle, guard=guard, **options)
        if guard < 0:
            raise ConfigError(f"policy {self.name!r}: guard = {guard}: need a number of steps >= 0")
        self.throttle, self.guard = throttle, guard

    @property
    def predictor(self) -> Predictor:
        """What it asks of the memoization unit."""
        raise NotImplementedError

    def small_network(self, context: PassContext) -> Small:
        """The network beside a pass's weights."""
        raise NotImplementedError

    def begin(self, context: PassContext) -> DecidedPass:
        """Make the small network and empty the memo."""
        decider = make_decider(
            self.watches,
            context.thresholds,
            context.batch,
            context.n_units,
            self.small_network(context),
            n_inputs=context.weight_ih.shape[1] + context.weight_hh.shape[1],
            throttle=self.throttle,
            guard=self.guard,
        )
        return DecidedPass(decider)
