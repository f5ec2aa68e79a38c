"""Calibration of θ: the largest reuse whose loss of the task metric stays within bounds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from archsim.calibration.greedy import BELOW, GreedySearch, ThresholdParams
from archsim.calibration.scored import largest_step, steps_of, theta_at
from archsim.calibration.trials import Point, Trials
from archsim.errors import ConfigError
from archsim.inference.measure import ranged
from archsim.ir.manifest import CalibratedPoint, CalibrationManifest, Per, reaches
from archsim.ir.network import Network
from archsim.policies import Policy, kind_of, policy_from
from archsim.policies.binary import BinaryPolicy
from archsim.task_metrics.bootstrap import CONFIDENCE
from archsim.traceio.trace import Trace
from archsim.validation import whole_number

if TYPE_CHECKING:
    import pandas as pd

MAX_STEPS = 1_000_000
"""Largest number of steps on the grid of θ."""


@dataclass(frozen=True)
class Calibration:
    """Chosen thresholds, with every point they were chosen from: uniform θ first, by rising θ."""

    chosen: dict[float, Point]
    """Chosen point by allowed loss in points."""
    uniform: dict[float, Point]
    """Best point with one θ for the network, by allowed loss; equal to `chosen` if `per` is "network"."""
    metric: str
    metric_baseline: float
    points: tuple[Point, ...]
    cut_short: bool
    """Whether the allowed passes ran out before everything was tried."""
    highest: float
    """Largest θ that the search could try."""
    evidence: CalibrationManifest
    """Evidence that the network's manifest keeps."""

    @property
    def log(self) -> pd.DataFrame:
        """Every θ tried with its reuse, metric and loss, in the order of `points`."""
        import pandas as pd

        rows = [{**point._asdict(), "standard_error": point.standard_error} for point in self.points]
        return pd.DataFrame(rows).rename(columns={"change": "squared_output_change"})

    def reached_end(self, max_loss: float) -> bool:
        """Return whether the search ended at a θ chosen for this bound; then a larger θ may fit, too."""
        return reaches(self.chosen[max_loss].threshold, self.highest)


def calibrate_threshold(
    network: Network,
    trace: Trace,
    policy_name: str | Policy = "bnn",
    *,
    max_losses: Sequence[float] = (1.0,),
    margin: float = 0.0,
    highest: float = 4.0,
    resolution: float = 0.01,
    per: Per = "network",
    passes: int = 200,
    precision: str = "fp16",
    on_point: Callable[[Point], None] = lambda point: None,
) -> Calibration:
    """Find, per allowed loss, the largest θ in [0, highest] up to which no tried threshold loses more.

    If that is the last θ of the search, a larger one may fit as well (`Calibration.reached_end`).

    margin: number of standard errors that a loss must stay below the bound; 0 compares the measured loss itself, 1 is
    the one-standard-error rule of Breiman et al. (1984).
    per: `layer`, `gate` or `kind` continues, for at most `passes` runs over the trace, with one θ per layer, gate or
    kind of gate. It chooses the most reuse within the bound whose outputs change no more than with one θ.
    Choose on training or validation data only.
    Raises ConfigError if there is no metric, no θ to choose, or even θ = 0 loses too much.
    """
    policy = check_search(policy_name, max_losses, margin, highest, resolution, per, passes)
    network = ranged(network, trace, precision)
    trials = Trials(network, trace, policy, precision, on_point, compares=per != "network")
    bounds = sorted(max_losses)
    uniform = {bound: largest_uniform(trials, bound, margin, highest, resolution) for bound in bounds}
    end = steps_of(highest, resolution) * resolution if per == "network" else highest
    points, chosen, cut_short = sorted(trials.tried.values(), key=lambda point: point.threshold), uniform, False
    if per != "network":
        cut_short = _search_greedily(trials, per, list(uniform.values()), highest, resolution, passes)
        points += list(trials.tried.values())[len(points) :]  # `tried` keeps its order, so these are the new ones
        chosen = {bound: _best(points, uniform[bound], bound, margin) for bound in bounds}
    metric, before = trials.baseline.metric, trials.baseline.metric_value
    assert metric is not None and before is not None, "checked by the first trial"
    evidence = CalibrationManifest(
        trace=trace.name,
        trace_digest=trace.digest,
        sequences=len(trace),
        precision=precision,
        per=per,
        margin=margin,
        highest=round(end, 6),
        confidence=CONFIDENCE,
        metric_baseline=round(before, 6),
        points=tuple(_kept(max_loss, point) for max_loss, point in chosen.items()),
    )
    return Calibration(chosen, uniform, metric.name, before, tuple(points), cut_short, end, evidence)


def largest_uniform(trials: Trials, max_loss: float, margin: float, highest: float, resolution: float) -> Point:
    """Return the point of the largest θ in [0, highest], on a grid, up to which no tried θ loses too much.

    Raises ConfigError if even θ = 0 loses too much.
    """

    def at(step: int) -> Point:
        return trials.at(theta_at(step, resolution))

    def fits(step: int) -> bool:
        return at(step).within(max_loss, margin)

    best = largest_step(fits, steps_of(highest, resolution))
    if best is None:
        loss = f"{at(0).metric_loss:.2f} points, with a standard error of {at(0).standard_error:.2f}"
        bounds = f"a bound of {max_loss:g} and a margin of {margin:g}"
        raise ConfigError(f"even θ = 0 loses {loss}: too much for {bounds}{hint_at_zero(trials.policy)}")
    return at(best)


def hint_at_zero(policy: Policy) -> str:
    """Return why a policy costs much even at θ = 0, as the end of a message; empty where there is no one reason."""
    if not isinstance(policy, BinaryPolicy):
        return ""
    reason = "at θ = 0 it still reuses a neuron while no sign of its inputs changes, and after a ReLU none ever does"
    return f"; {policy.name} looks at signs only: {reason}: try policy delta"


def check_amount(name: str, value: float) -> None:
    """Raise ConfigError unless a value is a finite number >= 0."""
    if not (math.isfinite(value) and value >= 0):
        raise ConfigError(f"{name} = {value}: need a finite number >= 0")


def check_search(
    policy_name: str | Policy,
    max_losses: Sequence[float],
    margin: float,
    highest: float,
    resolution: float,
    per: str,
    passes: int,
) -> Policy:
    """Return the policy of a search; raise ConfigError, before any work, for what `calibrate_threshold` refuses."""
    policy = _checked(policy_from(policy_name), max_losses, highest, resolution, margin)
    _check_effort(policy, per, passes)
    return policy


def _checked(policy: Policy, max_losses: Sequence[float], highest: float, resolution: float, margin: float) -> Policy:
    for name, value in (*(("max_loss", loss) for loss in max_losses), ("highest", highest), ("margin", margin)):
        check_amount(name, value)
    if not (math.isfinite(resolution) and resolution > 0):
        raise ConfigError(f"resolution = {resolution}: need a number > 0")
    if highest / resolution > MAX_STEPS:
        raise ConfigError(f"highest = {highest} and resolution = {resolution}: need at most {MAX_STEPS:,} steps")
    if not max_losses:
        raise ConfigError("max_losses is empty: need at least one number of points")
    if not policy.needs_threshold:
        raise ConfigError(f"policy {policy.name!r} has no threshold to calibrate")
    return policy


def _check_effort(policy: Policy, per: str, passes: int) -> None:
    if per not in get_args(Per):
        raise ConfigError(f"per = {per!r}: accepted: {', '.join(get_args(Per))}")
    if not kind_of(policy).gates_differ and per in ("gate", "kind"):
        raise ConfigError(f"per = {per!r}: policy {policy.name!r} skips columns, which all gates share: need layer")
    if (whole_number(passes) or 0) < 1:
        raise ConfigError(f"passes = {passes!r}: need a whole number >= 1")


def _search_greedily(
    trials: Trials, per: str, uniform: list[Point], highest: float, resolution: float, passes: int
) -> bool:
    """Search within each bound in turn, from the smallest; return True if the allowed passes ran out."""
    start = min(uniform[0].threshold / BELOW or resolution, highest)
    search = GreedySearch(trials, ThresholdParams.of(trials.network, per), start, highest, passes)
    for point in uniform:
        search.run(point.change)
    return search.cut_short


def _best(points: list[Point], uniform: Point, max_loss: float, margin: float) -> Point:
    """Return the point of the most reuse within the bound whose outputs change no more than with one θ.

    The second condition keeps out points that lose little by luck, which are likely among so many.
    """
    within = [p for p in points if p.within(max_loss, margin) and p.change <= uniform.change]
    return max(within, key=lambda point: (point.reuse_fraction, -point.change))


def _kept(max_loss: float, point: Point) -> CalibratedPoint:
    figures = {name: getattr(point, name) for name in CalibratedPoint.model_fields if name in Point._fields}
    plain = {name: round(value, 6) if isinstance(value, float) else value for name, value in figures.items()}
    return CalibratedPoint(max_loss=max_loss, **plain)
