"""`archsim.calibrate`: the largest θ of a network on a trace, or of a torch model under its user's evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archsim.calibration.network import calibrate_network
from archsim.calibration.scored import CalibratedThreshold, Outcome
from archsim.calibration.theta_search import OnTrial, ThetaSearch, theta_search
from archsim.corpora.catalogue import load_trace
from archsim.errors import ConfigError
from archsim.inference.policy_parameters import needs_measures
from archsim.inference.precision import is_integer, measuring_precision
from archsim.ir.folder import load_network
from archsim.ir.network import Network, Scales
from archsim.live.torch_session import attach
from archsim.policies import Policy
from archsim.traceio.trace import Trace

if TYPE_CHECKING:
    import torch

NONE = "none"
Evaluate = Callable[[Any], Any]
"""Function of the model that returns one number, higher is better."""


def calibrate(
    model: Network | str | Path | torch.nn.Module,
    evaluate: Trace | str | Path | Evaluate,
    *,
    policy: str | Policy = "bnn",
    max_loss: float | None = None,
    max_change: float | None = None,
    margin: float = 0.0,
    highest: float = 4.0,
    resolution: float = 0.01,
    precision: str = "fp16",
    layer: str | Sequence[str] | None = None,
    log: str | Path | None = None,
    progress: bool = True,
    on_trial: OnTrial = lambda record: None,
) -> CalibratedThreshold:
    """Return the largest θ up to which no tried θ costs more than a bound: a number, with `log` of all tried.

    model, evaluate: a network and a trace; or a torch model, whose recurrent modules are attached, and a function of it
    that returns one number, higher is better.
    max_loss: points of the metric, or of what `evaluate` returns, that may be lost, by default 1. max_change: share
    that the outputs may change (SEMANTICS 1.5), where there is no metric. margin: standard errors by which a loss of a
    network's metric stays below its bound. layer: names of the modules to attach, by default all.
    log: CSV file of θ against loss or change, rewritten after each trial. progress: draw a bar if standard error is a
    terminal. Choose on training or validation data only.
    Raises ConfigError if there is no θ to choose, no metric for `max_loss`, or even θ = 0 costs too much.
    """
    search = theta_search(
        policy,
        max_loss,
        max_change,
        margin=margin,
        highest=highest,
        resolution=resolution,
        precision=precision,
        log=log,
        progress=progress,
        on_trial=on_trial,
    )
    if isinstance(model, Network | str | Path):
        if callable(evaluate):
            raise ConfigError("calibrate: a network is run on a trace, got a function: need (network, trace)")
        if layer is not None:
            raise ConfigError(f"layer = {layer!r}: names modules of a torch model, got a network")
        network = model if isinstance(model, Network) else load_network(model)
        return calibrate_network(network, evaluate if isinstance(evaluate, Trace) else load_trace(evaluate), search)
    if not callable(evaluate):
        got = type(evaluate).__name__
        raise ConfigError(f"calibrate: evaluate is a {got}: need a function of the model that returns a number")
    if margin:
        raise ConfigError(f"margin = {margin}: the score of a model has no standard error here, need 0")
    runner = _ModelRunner(model, evaluate, search, layer)
    return search.over(runner.run).with_scales(runner.scales)


@dataclass
class _ModelRunner:
    """Evaluation of a model with its recurrent modules attached, at one θ after the other."""

    model: torch.nn.Module
    evaluate: Evaluate
    search: ThetaSearch
    layer: str | Sequence[str] | None
    scales: dict[str, Scales] | None = None
    """Scales by module, measured in a run without reuse if the policy needs them."""

    def run(self, threshold: float | None) -> Outcome:
        """Return the score, reuse and change at a θ, or without reuse for None."""
        if self.scales is None and self._needs_measures(threshold):
            self._run(None, measures=True)
        return self._run(threshold)

    def _needs_measures(self, threshold: float | None) -> bool:
        precision = self.search.precision
        return is_integer(precision) or (threshold is not None and needs_measures(self.search.policy, precision))

    def _run(self, threshold: float | None, *, measures: bool = False) -> Outcome:
        compare = self.search.bound.max_change is not None and threshold is not None
        with attach(
            self.model,
            NONE if threshold is None else self.search.policy,
            threshold,
            measuring_precision(self.search.precision) if measures else self.search.precision,
            self.layer,
            scales=self.scales,
            compare=compare,
        ) as session:
            score = self.evaluate(self.model)
        record: dict[str, Any] = dict(session.record)
        if not record["sequences"]:
            names = ", ".join(session.parts)
            raise ConfigError(f"evaluate ran none of the attached modules ({names}): θ would change nothing")
        if measures:
            self.scales = session.measure_scales()
        reuse = record["macs_avoided_fraction"] if record["reuse_fraction"] is None else record["reuse_fraction"]
        change = record["output_change"] if compare else None
        return Outcome(score, reuse, change)
