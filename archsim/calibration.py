"""θ from calibration data: the largest reuse whose loss of the task metric stays within bounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from archsim.errors import ConfigError
from archsim.functional.run import run_functional
from archsim.ir.network import Network
from archsim.policies import NoReuse, policy_from
from archsim.traceio.trace import Trace


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


def calibrate_threshold(
    network: Network,
    trace: Trace,
    policy_name: str = "bnn",
    *,
    max_loss: float = 1.0,
    highest: float = 2.0,
    resolution: float = 0.01,
    precision: str = "fp16",
    tick: Callable[[Point], None] = lambda point: None,
) -> Calibration:
    """Find the largest θ up to which no tried threshold loses more than `max_loss` points.

    Bisection down to 8 steps of `resolution`, then every step of the last interval, because loss is not quite
    monotone. Choose on training or validation data only. Raises ConfigError where there is no metric to lose.
    """
    if max_loss < 0 or resolution <= 0 or highest < resolution:
        raise ConfigError(
            f"max_loss = {max_loss}, resolution = {resolution}: need max_loss >= 0 and 0 < resolution <= {highest}"
        )
    baseline = run_functional(network, trace, NoReuse(), precision=precision, keep_outputs=False).metric_value
    if baseline is None:
        raise ConfigError(
            f"network {network.name} with trace {trace.name} has no metric: need a labelled trace of its task"
        )
    tried: dict[int, Point] = {}

    def loss_at(step: int) -> float:
        if step not in tried:
            theta = round(step * resolution, 10)
            result = run_functional(
                network, trace, policy_from(policy_name), theta, precision=precision, keep_outputs=False
            )
            value = result.metric_value if result.metric_value is not None else float("nan")
            reuse = result.activity.neurons_reused() / result.activity.neurons_total
            tried[step] = Point(theta, reuse, value, baseline - value)
            tick(tried[step])
        return tried[step].metric_loss

    good, bad = 0, round(highest / resolution)
    while bad - good > 8:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if loss_at(middle) <= max_loss else (good, middle)
    while good + 1 <= bad and loss_at(good + 1) <= max_loss:
        good += 1
    return Calibration(round(good * resolution, 10), max_loss, baseline, tuple(tried[s] for s in sorted(tried)))
