"""θ from calibration data: the largest reuse whose loss of the task metric stays within bounds."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from archsim.errors import ConfigError
from archsim.functional.inputs import tokenized
from archsim.functional.run import run_functional
from archsim.ir.network import Network
from archsim.policies import NoReuse, ReusePolicy, policy_from
from archsim.traceio.trace import Trace

REFINE_STEPS = 8
"""Bisection stops at intervals of so many steps, which are then tried one by one."""


class Point(NamedTuple):
    """One threshold tried."""

    threshold: float
    reuse_fraction: float
    metric_value: float
    metric_loss: float


@dataclass(frozen=True)
class Calibration:
    """The threshold chosen, and every point it was chosen from, by rising θ."""

    threshold: float
    max_loss: float
    metric_baseline: float
    points: tuple[Point, ...]


@dataclass
class _Trials:
    """Thresholds tried on a calibration trace, on a grid of `resolution`."""

    network: Network
    trace: Trace
    policy: ReusePolicy
    resolution: float
    precision: str
    tick: Callable[[Point], None]
    tried: dict[int, Point] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.baseline, _ = self._run(NoReuse(), 0.0)

    def loss_at(self, step: int) -> float:
        """Loss of the metric in points at θ = step · resolution."""
        if step not in self.tried:
            theta = round(step * self.resolution, 10)
            value, reuse = self._run(self.policy, theta)
            self.tried[step] = Point(theta, reuse, value, self.baseline - value)
            self.tick(self.tried[step])
        return self.tried[step].metric_loss

    def _run(self, policy: ReusePolicy, theta: float) -> tuple[float, float]:
        result = run_functional(self.network, self.trace, policy, theta, precision=self.precision, keep_outputs=False)
        if result.metric_value is None:
            where = f"network {self.network.name} with trace {self.trace.name}"
            raise ConfigError(f"{where} has no metric: need a labelled trace of the network's task")
        return result.metric_value, result.activity.neurons_reused() / result.activity.neurons_total


def calibrate_threshold(
    network: Network,
    trace: Trace,
    policy_name: str = "bnn",
    *,
    max_loss: float = 1.0,
    highest: float = 4.0,
    resolution: float = 0.01,
    precision: str = "fp16",
    tick: Callable[[Point], None] = lambda point: None,
) -> Calibration:
    """Find the largest θ in [0, highest], on a grid, up to which no tried threshold loses over `max_loss` points.

    Bisection, then step by step, because loss is not quite monotone. Choose on training or validation data only.
    Raises ConfigError where there is no metric to lose, no θ to choose, or even θ = 0 loses too much.
    """
    policy = policy_from(policy_name)
    if not (math.isfinite(max_loss) and max_loss >= 0):
        raise ConfigError(f"max_loss = {max_loss}: need a number of points >= 0")
    if not policy.needs_threshold:
        raise ConfigError(f"policy {policy.name!r} has no threshold to calibrate")
    trials = _Trials(network, tokenized(network, trace), policy, resolution, precision, tick)
    good, bad = 0, round(highest / resolution)
    if trials.loss_at(good) > max_loss:
        raise ConfigError(f"even θ = 0 loses {trials.loss_at(good):.2f} points, over the {max_loss:g} allowed")
    while bad - good > REFINE_STEPS:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if trials.loss_at(middle) <= max_loss else (good, middle)
    while good < bad and trials.loss_at(good + 1) <= max_loss:
        good += 1
    points = tuple(trials.tried[step] for step in sorted(trials.tried))
    return Calibration(trials.tried[good].threshold, max_loss, trials.baseline, points)
