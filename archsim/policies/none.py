"""No reuse: every neuron is evaluated, and the machine has no memoization unit."""

from __future__ import annotations

from archsim.kernels.deciding import NOTHING, make_decider
from archsim.policies.decided import DecidedPass
from archsim.policies.protocol import PassContext


class NoReuse:
    """The baseline."""

    name = "none"
    needs_threshold = False
    uses_memo_unit = False

    def begin(self, context: PassContext) -> DecidedPass:
        """Nothing to remember."""
        return DecidedPass(make_decider(NOTHING, context.thresholds, context.batch, context.n_units))
