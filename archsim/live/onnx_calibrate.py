"""Search for the largest θ of an ONNX model under its user's own loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from archsim.calibration.scored import Outcome, finite_loss
from archsim.calibration.theta_search import ThetaSearch
from archsim.inference.policy_parameters import needs_measures
from archsim.inference.precision import is_integer, measuring_precision
from archsim.ir.network import Scales
from archsim.live.onnx_feeds import Feed

if TYPE_CHECKING:
    from archsim.live.onnx_model import OnnxModel

Loss = Callable[[list[Feed]], Any]
"""Function of the outputs of all calls that returns one number, lower is better."""


@dataclass
class OnnxTrials:
    """Runs of a model on the same feeds at one θ after the other."""

    model: OnnxModel
    feeds: Sequence[Feed]
    loss: Loss | None
    search: ThetaSearch
    scales: dict[str, Scales] | None = None
    """Scales by part, measured in a run without reuse if the policy needs them."""

    def run(self, threshold: float | None) -> Outcome:
        """Return the score (the loss with its sign turned), reuse and change at a θ, or without reuse for None."""
        compare = self.search.bound.max_change is not None and threshold is not None
        wanted = threshold is not None and needs_measures(self.search.policy, self.search.precision)
        if self.scales is None and (wanted or is_integer(self.search.precision)):
            self.scales = self._measured()
        policy = "none" if threshold is None else self.search.policy
        precision = self.search.precision
        run = self.model.run(self.feeds, policy, threshold, precision, scales=self.scales, compare=compare)
        record = run.session.record
        reuse = record["macs_avoided_fraction"] if record["reuse_fraction"] is None else record["reuse_fraction"]
        change = record["output_change"] if compare else None
        assert not isinstance(reuse, str | list) and not isinstance(change, str | list), "figures are numbers"
        return Outcome(None if self.loss is None else self._score(run.outputs), reuse, change)

    def _score(self, outputs: list[Feed]) -> float:
        assert self.loss is not None, "asked for only where there is one"
        return -finite_loss(self.loss(outputs))

    def _measured(self) -> dict[str, Scales]:
        precision = measuring_precision(self.search.precision)
        return self.model.run(self.feeds, "none", precision=precision).session.measure_scales()
