"""No reuse: every neuron is evaluated, and the machine has no memoization unit."""

from __future__ import annotations

from archsim.kernels.prediction.reuse_decider import NOTHING, make_reuse_decider
from archsim.policies.kernel_pass import KernelPass
from archsim.policies.protocol import PassContext


class NoReuse:
    """Policy that evaluates everything: the baseline."""

    name = "none"
    needs_threshold = False
    uses_memo_unit = False

    def begin(self, context: PassContext) -> KernelPass:
        """Return a pass that decides to evaluate everything."""
        return KernelPass(make_reuse_decider(NOTHING, context.thresholds, context.batch, context.n_units))
