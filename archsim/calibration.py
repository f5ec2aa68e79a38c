"""θ from calibration data: the largest reuse whose loss of the task metric stays within bounds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from archsim.errors import ConfigError
from archsim.functional.inputs import prepared
from archsim.functional.measure import measure_scales
from archsim.functional.run import FunctionalResult, run_functional
from archsim.ir.manifest import CalibratedPoint, CalibrationManifest, ScalesManifest
from archsim.ir.network import Network
from archsim.policies import NoReuse, ReusePolicy, policy_from
from archsim.tasks.bootstrap import CONFIDENCE, loss_interval
from archsim.traceio.trace import Trace

NORMAL_95 = 1.96
"""Standard errors on either side that hold 95 % of a normal distribution."""
REFINE_STEPS = 4
"""Bisection stops at intervals of so many steps, which are then tried one by one."""


def standard_error(low: float, high: float) -> float:
    """Standard error of a figure, from the ends of its 95 % interval."""
    return (high - low) / (2 * NORMAL_95)


class Point(NamedTuple):
    """One threshold tried; the ends of the loss are those of its bootstrap interval."""

    threshold: float
    reuse_fraction: float
    metric_value: float
    metric_loss: float
    metric_loss_low: float
    metric_loss_high: float

    @property
    def standard_error(self) -> float:
        """Of the loss, from the width of its interval."""
        return standard_error(self.metric_loss_low, self.metric_loss_high)


@dataclass(frozen=True)
class Calibration:
    """The thresholds chosen, and every point they were chosen from, by rising θ."""

    chosen: dict[float, Point]
    """By the loss allowed, in points."""
    metric: str
    metric_baseline: float
    points: tuple[Point, ...]
    evidence: CalibrationManifest
    """What the network's manifest keeps of it."""


@dataclass
class _Trials:
    """Thresholds tried on a calibration trace, on a grid of `resolution`."""

    network: Network
    trace: Trace
    policy: ReusePolicy
    resolution: float
    precision: str
    tick: Callable[[Point], None]
    digest: str
    """Of the trace as it was given."""
    tried: dict[int, Point] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.baseline = self._run(NoReuse(), 0.0)

    def at(self, step: int) -> Point:
        """What happens at θ = step · resolution."""
        if step not in self.tried:
            theta = round(step * self.resolution, 10)
            self.tried[step] = self._point(theta, self._run(self.policy, theta))
            self.tick(self.tried[step])
        return self.tried[step]

    def _point(self, theta: float, result: FunctionalResult) -> Point:
        metric, before, after = result.metric, self.baseline.statistics, result.statistics
        assert metric is not None and before is not None and after is not None, "checked by _run"
        value = metric.of(after)
        reuse = result.activity.neurons_reused() / result.activity.neurons_total
        loss = metric.loss(metric.of(before), value)
        return Point(theta, reuse, value, loss, *loss_interval(metric, before, after))

    def _run(self, policy: ReusePolicy, theta: float) -> FunctionalResult:
        result = run_functional(self.network, self.trace, policy, theta, precision=self.precision, keep_outputs=False)
        if result.metric is None:
            raise no_loss(self.network, self.trace)
        return result


def calibrate_threshold(
    network: Network,
    trace: Trace,
    policy_name: str = "bnn",
    *,
    max_losses: Sequence[float] = (1.0,),
    margin: float = 0.0,
    highest: float = 4.0,
    resolution: float = 0.01,
    precision: str = "fp16",
    tick: Callable[[Point], None] = lambda point: None,
) -> Calibration:
    """Find, for each loss allowed, the largest θ in [0, highest] up to which no tried threshold loses more.

    Bisection on a grid, then step by step, because loss is not quite monotone. `margin` is how many of its standard
    errors a loss must stay below the bound: 0 takes it at its word, 1 is the one-standard-error rule of Breiman et
    al. (1984). Choose on training or validation data only.
    Raises ConfigError where there is no metric to lose, no θ to choose, or even θ = 0 loses too much.
    """
    policy = _checked(policy_from(policy_name), max_losses, highest, resolution, margin)
    trials = _Trials(network, prepared(network, trace), policy, resolution, precision, tick, trace.digest)
    last = round(highest / resolution)
    chosen = {max_loss: _largest(trials, max_loss, last, margin) for max_loss in sorted(max_losses)}
    metric, before = trials.baseline.metric, trials.baseline.metric_value
    assert metric is not None and before is not None, "checked by the first trial"
    points = tuple(trials.tried[step] for step in sorted(trials.tried))
    return Calibration(chosen, metric.name, before, points, _evidence(trials, chosen, before, margin))


def with_scales(network: Network, trace: Trace, *, precision: str = "fp16") -> tuple[Network, ScalesManifest]:
    """Return the network with the scales of what it reads on a calibration trace, and the evidence of them."""
    scales = measure_scales(network, trace, precision=precision)
    evidence = ScalesManifest(
        trace=trace.name,
        trace_digest=trace.digest,
        sequences=len(trace),
        precision=precision,
        inputs=scales.inputs,
        hidden=scales.hidden,
    )
    return replace(network, scales=scales), evidence


def check_amount(name: str, value: float) -> None:
    """ConfigError for what is no finite number >= 0."""
    if not (math.isfinite(value) and value >= 0):
        raise ConfigError(f"{name} = {value}: need a finite number >= 0")


def no_loss(network: Network, trace: Trace) -> ConfigError:
    """The error that says why a network has no loss on a trace."""
    if network.metric is None:
        return ConfigError(f"network {network.name} names no metric: there is no loss to hold to a bound")
    return ConfigError(f"trace {trace.name} has no targets: need a labelled trace of the network's task")


def _checked(
    policy: ReusePolicy, max_losses: Sequence[float], highest: float, resolution: float, margin: float
) -> ReusePolicy:
    for name, value in (*(("max_loss", loss) for loss in max_losses), ("highest", highest), ("margin", margin)):
        check_amount(name, value)
    if not (math.isfinite(resolution) and resolution > 0):
        raise ConfigError(f"resolution = {resolution}: need a number > 0")
    if not max_losses:
        raise ConfigError("max_losses is empty: need at least one number of points")
    if not policy.needs_threshold:
        raise ConfigError(f"policy {policy.name!r} has no threshold to calibrate")
    return policy


def _largest(trials: _Trials, max_loss: float, last: int, margin: float) -> Point:
    def fits(step: int) -> bool:
        point = trials.at(step)
        return point.metric_loss + margin * point.standard_error <= max_loss

    good, bad = 0, last
    if not fits(good):
        point = trials.at(good)
        found = f"{point.metric_loss:.2f} points, with a standard error of {point.standard_error:.2f}"
        raise ConfigError(f"even θ = 0 loses {found}: too much for a bound of {max_loss:g} and a margin of {margin:g}")
    while bad - good > REFINE_STEPS:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if fits(middle) else (good, middle)
    while good < bad and fits(good + 1):
        good += 1
    return trials.at(good)


def _evidence(trials: _Trials, chosen: dict[float, Point], before: float, margin: float) -> CalibrationManifest:
    return CalibrationManifest(
        trace=trials.trace.name,
        trace_digest=trials.digest,
        sequences=len(trials.trace),
        precision=trials.precision,
        margin=margin,
        confidence=CONFIDENCE,
        metric_baseline=round(before, 6),
        points=tuple(_kept(max_loss, point) for max_loss, point in chosen.items()),
    )


def _kept(max_loss: float, point: Point) -> CalibratedPoint:
    figures = {name: round(value, 6) for name, value in point._asdict().items() if name != "metric_value"}
    return CalibratedPoint(max_loss=max_loss, **figures)
