"""What thresholds do to a calibration trace: reuse, loss of the task metric, change of the outputs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from archsim.errors import ConfigError
from archsim.inference.run import InferenceResult, run_workload
from archsim.inference.workload import CACHE_BYTES, Workload
from archsim.ir.network import Network
from archsim.kernels.arrays import F32
from archsim.policies import NoReuse, Policy
from archsim.sums import add_along
from archsim.task_metrics.bootstrap import loss_interval
from archsim.traceio.trace import Trace

NORMAL_95 = 1.96
"""Standard errors on either side that hold 95 % of a normal distribution."""


def standard_error(low: float, high: float) -> float:
    """Standard error of a figure, from the ends of its 95 % interval."""
    return (high - low) / (2 * NORMAL_95)


def no_loss(network: Network, trace: Trace) -> ConfigError:
    """The error that says why a network has no loss on a trace."""
    if network.metric is None:
        return ConfigError(f"network {network.name} names no metric: there is no loss to hold to a bound")
    return ConfigError(f"trace {trace.name} has no targets: need a labelled trace of the network's task")


class Point(NamedTuple):
    """Thresholds tried; the ends of the loss are those of its bootstrap interval."""

    threshold: Any
    """One number, one per layer, or one per (layer, gate)."""
    reuse_fraction: float
    """Of neuron evaluations; of multiply-accumulates where the policy goes by columns."""
    metric_value: float
    metric_loss: float
    metric_loss_low: float
    metric_loss_high: float
    change: float = math.nan
    """Against no reuse, as a fraction (`change_of`); NaN where not asked for."""

    @property
    def standard_error(self) -> float:
        """Of the loss, from the width of its interval."""
        return standard_error(self.metric_loss_low, self.metric_loss_high)

    def within(self, max_loss: float, margin: float) -> bool:
        """Whether the loss and `margin` of its standard errors stay within a bound."""
        return self.metric_loss + margin * self.standard_error <= max_loss


class Trials:
    """Thresholds tried on a calibration trace, each once, in `tried`."""

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
        self.network, self.trace, self.policy = network, trace, policy
        self.workload = Workload(network, trace, precision=precision, cache_bytes=CACHE_BYTES)
        self.on_point, self.compares = on_point, compares
        self.tried: dict[str, Point] = {}
        self.baseline = self._run(NoReuse(), 0.0)

    def at(self, threshold: Any) -> Point:
        """What happens at θ: one number, one per layer, or one per (layer, gate)."""
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
        keep_outputs = self.compares and not self.network.decoder
        result = run_workload(self.workload, policy, threshold, keep_outputs=keep_outputs)
        if result.metric is None:
            raise no_loss(self.network, self.trace)
        return result


def change_of(before: InferenceResult, after: InferenceResult, *, decodes: bool) -> float:
    """Squared change of the top layer's outputs over their squares before; of a decoder, `disagreement`.

    One other word changes all outputs that follow it, however little was lost. Both results need outputs and answers.
    """
    if decodes:
        return disagreement(before, after)
    assert before.outputs is not None and after.outputs is not None, "kept where they are compared"
    change = math.fsum(_squares(old - new) for old, new in zip(before.outputs, after.outputs, strict=True))
    squares = math.fsum(_squares(old) for old in before.outputs)
    return change / squares if squares else change


def disagreement(before: InferenceResult, after: InferenceResult) -> float:
    """Loss of the task metric, as a fraction, where the answers before are the targets."""
    metric, own = before.metric, before.predictions
    assert metric is not None and own is not None and after.predictions is not None, "a calibrated network has a task"
    right, found = (metric.of(metric.statistics(answers, own)) for answers in (own, after.predictions))
    return metric.loss(right, found) / 100


def _squares(values: F32) -> float:
    return float(add_along(np.square(values, dtype=np.float64)))
