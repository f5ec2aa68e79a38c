"""Trials of thresholds on a calibration trace: reuse, loss of the task metric, change of the outputs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from archsim.errors import ConfigError
from archsim.inference.batch_runner import Keep
from archsim.inference.run import InferenceResult, run_workload
from archsim.inference.workload import CACHE_BYTES, Workload
from archsim.ir.network import Network
from archsim.kernels.arrays import F32
from archsim.policies import NoReuse, Policy
from archsim.sums import add_along
from archsim.task_metrics.bootstrap import loss_interval
from archsim.traceio.trace import Trace

NORMAL_95 = 1.96
"""Standard errors on either side of the mean that hold 95 % of a normal distribution."""


def standard_error(low: float, high: float) -> float:
    """Return the standard error of a figure, given the ends of its 95 % interval."""
    return (high - low) / (2 * NORMAL_95)


def no_loss(network: Network, trace: Trace) -> ConfigError:
    """Return the error that says why a network has no loss on a trace."""
    if network.metric is None:
        return ConfigError(f"network {network.name} names no metric: there is no loss to hold to a bound")
    return ConfigError(f"trace {trace.name} has no targets: need a labelled trace of the network's task")


class Point(NamedTuple):
    """Trial of one choice of thresholds; `metric_loss_low` and `_high` are the ends of the bootstrap interval."""

    threshold: Any
    """θ as one number, one per layer, or one per (layer, gate)."""
    reuse_fraction: float
    """Share of neuron evaluations reused; for a column-skipping policy, share of multiply-accumulates avoided."""
    metric_value: float
    metric_loss: float
    metric_loss_low: float
    metric_loss_high: float
    change: float = math.nan
    """Change of the outputs against no reuse, as a fraction (`change_of`); NaN if not asked for."""

    @property
    def standard_error(self) -> float:
        """Standard error of the loss, from the width of its interval."""
        return standard_error(self.metric_loss_low, self.metric_loss_high)

    def within(self, max_loss: float, margin: float) -> bool:
        """Return whether the loss plus `margin` of its standard errors stays within a bound."""
        return self.metric_loss + margin * self.standard_error <= max_loss


class Trials:
    """Trials on one calibration trace; `tried` keeps each choice of thresholds, so that none runs twice."""

    def __init__(
        self,
        network: Network,
        trace: Trace,
        policy: Policy,
        precision: str,
        on_point: Callable[[Point], None],
        *,
        compares: bool,
    ) -> None:
        self.network = network
        self.trace = trace
        self.policy = policy
        self.workload = Workload(network, trace, precision=precision, cache_bytes=CACHE_BYTES)
        self.on_point = on_point
        self.compares = compares
        self.tried: dict[str, Point] = {}
        self.baseline = self._run(NoReuse(), 0.0)

    def at(self, threshold: Any) -> Point:
        """Return the point at θ, which is one number, one per layer, or one per (layer, gate)."""
        if (key := str(threshold)) not in self.tried:
            self.tried[key] = self._point(threshold, self._run(self.policy, threshold))
            self.on_point(self.tried[key])
        return self.tried[key]

    def _point(self, threshold: Any, result: InferenceResult) -> Point:
        metric, before, after = result.metric, self.baseline.statistics, result.statistics
        assert metric is not None and before is not None and after is not None, "checked by _run"
        value = metric.of(after)
        loss = metric.loss(metric.of(before), value)
        change = math.nan
        if self.compares:
            change = change_of(self.baseline, result, decodes=bool(self.network.decoder))
        return Point(
            threshold, result.activity.avoided_fraction, value, loss, *loss_interval(metric, before, after), change
        )

    def _run(self, policy: Policy, threshold: Any) -> InferenceResult:
        keep = Keep(self.compares and not self.network.decoder)
        result = run_workload(self.workload, policy, threshold, keep=keep)
        if result.metric is None:
            raise no_loss(self.network, self.trace)
        return result


def change_of(before: InferenceResult, after: InferenceResult, *, decodes: bool) -> float:
    """Return the squared change of the top layer's outputs over their squares before; for a decoder, `disagreement`.

    A decoder differs, because one other word changes all outputs that follow it. Both results need
    outputs and predictions.
    """
    if decodes:
        return disagreement(before, after)
    assert before.outputs is not None and after.outputs is not None, "kept where they are compared"
    change = math.fsum(_squares(old - new) for old, new in zip(before.outputs, after.outputs, strict=True))
    squares = math.fsum(_squares(old) for old in before.outputs)
    return change / squares if squares else change


def disagreement(before: InferenceResult, after: InferenceResult) -> float:
    """Return the loss of the task metric, as a fraction, with the predictions before as the targets."""
    metric, own = before.metric, before.predictions
    assert metric is not None and own is not None and after.predictions is not None, "a calibrated network has a task"
    same, reusing = (metric.of(metric.statistics(predictions, own)) for predictions in (own, after.predictions))
    return metric.loss(same, reusing) / 100


def _squares(values: F32) -> float:
    return float(add_along(np.square(values, dtype=np.float64)))
