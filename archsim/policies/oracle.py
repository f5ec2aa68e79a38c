"""The oracle: reuse wherever the exact product changed little; the bound of the scheme (SEMANTICS 1.4)."""

from __future__ import annotations

from archsim.kernels.deciding import EXACT, make_decider
from archsim.policies.decided import DecidedPass
from archsim.policies.protocol import PassContext


class OraclePolicy:
    """Relative change of the exact product against the memoized one: |y - y_m| <= θ·|y|, no throttling."""

    name = "oracle"
    needs_threshold = True
    uses_memo_unit = True

    def begin(self, context: PassContext) -> DecidedPass:
        """It needs no memory of its own: the memo of products is its reference."""
        return DecidedPass(make_decider(EXACT, context.thresholds, context.batch, context.n_units))
