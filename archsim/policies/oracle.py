"""The oracle: reuse wherever the exact product changed little; the bound of the scheme (SEMANTICS 1.4)."""

from __future__ import annotations

from archsim.config.predictor import BitPlanePredictor
from archsim.kernels.prediction.reuse_decider import EXACT, make_reuse_decider
from archsim.policies.kernel_pass import KernelPass
from archsim.policies.protocol import PassContext


class OraclePolicy:
    """Policy that compares exact product and memoized one: |y - y_m| <= θ·|y|, without throttling."""

    name = "oracle"
    needs_threshold = True
    uses_memo_unit = True
    predictor = BitPlanePredictor()
    """Hardware it is charged for: that of `bnn`, since no hardware can be an oracle."""

    def begin(self, context: PassContext) -> KernelPass:
        """Return a pass that compares with the memo of products, and remembers nothing else."""
        return KernelPass(make_reuse_decider(EXACT, context.thresholds, context.batch, context.n_units))
