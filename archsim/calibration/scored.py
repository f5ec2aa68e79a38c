"""Search for the largest θ of anything that can be run at a θ and scored: a torch model, an ONNX model, a network."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from archsim.errors import ConfigError, in_brief
from archsim.files import check_writable, write_whole
from archsim.ir.manifest import reaches
from archsim.ir.network import Scales

if TYPE_CHECKING:
    import pandas as pd

REFINE_STEPS = 4
"""Steps of the interval at which bisection stops; the rest is tried one by one."""


class Outcome(NamedTuple):
    """Result of one run of a model at one θ; a figure that does not apply is None."""

    score: float | None = None
    """Number that the user's evaluation returns, higher is better."""
    reuse_fraction: float | None = None
    """Share of neuron evaluations reused; for a column-skipping policy, share of multiply-accumulates avoided."""
    output_change: float | None = None
    """Change of the outputs against no reuse (SEMANTICS 1.5)."""


@dataclass(frozen=True)
class Bound:
    """Bound on a search: the loss of a score in its own points, or the change of the outputs as a fraction."""

    max_loss: float | None = None
    max_change: float | None = None

    def __post_init__(self) -> None:
        if (self.max_loss is None) == (self.max_change is None):
            raise ConfigError(
                f"max_loss = {self.max_loss} and max_change = {self.max_change}: need one of them, max_loss in points "
                "of a score or metric, max_change as a fraction of the outputs"
            )
        name = "max_loss" if self.max_change is None else "max_change"
        if not (isinstance(self.value, int | float) and math.isfinite(self.value) and self.value >= 0):
            raise ConfigError(f"{name} = {self.value}: need a finite number >= 0")

    @property
    def value(self) -> float:
        """The bound itself."""
        value = self.max_change if self.max_loss is None else self.max_loss
        assert value is not None, "one of them is given"
        return value

    def cost(self, outcome: Outcome, baseline: float | None) -> float:
        """Return the figure that the bound is for; ConfigError if the outcome lacks it."""
        if self.max_loss is None:
            if outcome.output_change is None:
                raise ConfigError("max_change: the outputs cannot be compared with those without reuse, need max_loss")
            return outcome.output_change
        assert baseline is not None, "scored before the search"
        return baseline - finite_score(outcome.score)


class CalibratedThreshold(float):
    """θ as a number, with everything that was tried to find it."""

    tried: tuple[dict[str, Any], ...]
    baseline: float | None
    """Score without reuse; None for a bound on the change of the outputs."""
    bound: Bound
    highest: float
    """Largest θ that the search could try."""
    scales: Mapping[str, Scales] | None
    """Scales of inputs by name of the part, as measured for the search; None where the policy needs none."""

    def __new__(
        cls,
        theta: float,
        tried: tuple[dict[str, Any], ...],
        baseline: float | None,
        bound: Bound,
        highest: float,
        scales: Mapping[str, Scales] | None = None,
    ) -> CalibratedThreshold:
        """Return θ with its evidence; `tried` holds a flat record per θ."""
        self = super().__new__(cls, theta)
        self.tried = tried
        self.baseline = baseline
        self.bound = bound
        self.highest = highest
        self.scales = scales
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Return the evidence for pickle, too, which a plain float would lose."""
        return type(self), (float(self), self.tried, self.baseline, self.bound, self.highest, self.scales)

    def with_scales(self, scales: Mapping[str, Scales] | None) -> CalibratedThreshold:
        """Return the same θ with the scales that `attach` and `OnnxModel.run` take where none are given."""
        return CalibratedThreshold(self, self.tried, self.baseline, self.bound, self.highest, scales)

    @property
    def log(self) -> pd.DataFrame:
        """Every θ tried with its figures, by rising θ."""
        return frame_of(self.tried)

    @property
    def reached_end(self) -> bool:
        """True if the search ended at the largest θ that it could try, because a larger one may fit, too."""
        return reaches(float(self), self.highest)


@dataclass
class ScoredTrials:
    """Trials of θ by a callable, each made once; `log_path` is a CSV file rewritten after each."""

    run: Callable[[float | None], Outcome]
    """Runs the model at a θ, or without reuse for None."""
    bound: Bound
    on_trial: Callable[[dict[str, Any]], None] = lambda record: None
    log_path: Path | None = None
    baseline: float | None = None
    records: dict[float, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.log_path is not None:
            check_writable(self.log_path)
        if self.bound.max_loss is not None:
            self.baseline = finite_score(self.run(None).score)

    def fits(self, threshold: float) -> bool:
        """Return whether the cost at a θ is within the bound."""
        return bool(self.record(threshold)["fits"])

    def cost(self, threshold: float) -> float:
        """Return the loss or the change at a θ."""
        record = self.record(threshold)
        return float(record["loss"] if self.bound.max_change is None else record["output_change"])

    def record(self, threshold: float) -> dict[str, Any]:
        """Return the flat record of a θ, run now if it was not yet."""
        if threshold not in self.records:
            outcome = self.run(threshold)
            cost = self.bound.cost(outcome, self.baseline)
            record: dict[str, Any] = {"threshold": threshold, **outcome._asdict()}
            record["loss"] = cost if self.bound.max_change is None else None
            record["fits"] = cost <= self.bound.value
            self.records[threshold] = record
            if self.log_path is not None:
                write_log(frame_of(self.sorted_records()), self.log_path)
            self.on_trial(record)
        return self.records[threshold]

    def sorted_records(self) -> tuple[dict[str, Any], ...]:
        """Return what was tried by rising θ."""
        return tuple(self.records[threshold] for threshold in sorted(self.records))


def search_theta(
    trials: ScoredTrials, *, highest: float = 4.0, resolution: float = 0.01, hint: str = ""
) -> CalibratedThreshold:
    """Return the largest θ in [0, highest], on a grid, up to which no tried θ costs more than the bound.

    Raises ConfigError if even θ = 0 does; its message ends with `hint`.
    """
    steps = steps_of(highest, resolution)
    best = largest_step(lambda step: trials.fits(theta_at(step, resolution)), steps)
    if best is None:
        what = "changes the outputs by" if trials.bound.max_loss is None else "loses"
        cost = f"even θ = 0 {what} {trials.cost(0.0):.3g}"
        raise ConfigError(f"{cost}: too much for a bound of {trials.bound.value:g}{hint}")
    theta, end = theta_at(best, resolution), theta_at(steps, resolution)
    return CalibratedThreshold(theta, trials.sorted_records(), trials.baseline, trials.bound, end)


def steps_of(highest: float, resolution: float) -> int:
    """Return the number of steps of the grid of θ that stay within `highest`."""
    return int(highest / resolution + 1e-9)  # 0.3 / 0.1 is a little below 3


def theta_at(step: int, resolution: float) -> float:
    """Return the θ of a step of the grid."""
    return round(step * resolution, 10)


def largest_step(fits: Callable[[int], bool], last: int) -> int | None:
    """Return the largest step in [0, last] up to which no tried step fails; None if even step 0 does.

    Bisects, then tries step by step, because loss is not quite monotone.
    """
    good, bad = 0, last
    if not fits(good):
        return None
    while bad - good > REFINE_STEPS:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if fits(middle) else (good, middle)
    while good < bad and fits(good + 1):
        good += 1
    return good


def max_trials(highest: float, resolution: float) -> int:
    """Return the largest number of θ that a search tries, for progress bars."""
    return 1 + REFINE_STEPS + max(0, math.ceil(math.log2(max(1, steps_of(highest, resolution)) / REFINE_STEPS)))


def frame_of(records: tuple[dict[str, Any], ...]) -> pd.DataFrame:
    """Return flat records as a frame, without the columns that apply to none."""
    import pandas as pd

    return pd.DataFrame(list(records)).dropna(axis="columns", how="all")


def write_log(log: pd.DataFrame, path: Path) -> None:
    """Write a log of θ against loss as CSV."""
    with write_whole(path) as temporary:
        log.to_csv(temporary, index=False)


def finite_score(score: Any) -> float:
    """Return what a user's evaluation returned as a number; ConfigError unless it is a finite one."""
    return _finite(score, "evaluate", "higher")


def finite_loss(loss: Any) -> float:
    """Return what a user's loss function returned as a number; ConfigError unless it is a finite one."""
    return _finite(loss, "loss", "lower")


def _finite(value: Any, function: str, better: str) -> float:
    try:
        number = math.nan if value is None or isinstance(value, str) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ConfigError(f"{function} returned {in_brief(value)}: need one finite number, {better} is better")
    return number
