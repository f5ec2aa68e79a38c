"""Search for the largest θ of one policy within a bound: double until the loss is too much, then bisect.

Every θ tried is one inference run, so the search keeps their number small.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from archsim.calibration import check_amount, standard_error
from archsim.errors import ConfigError
from archsim.exploration.candidates import Candidate
from archsim.exploration.points import pareto_front
from archsim.policies import Policy, declaration, policy_from
from archsim.sweeps.choices import Choices

MAX_BISECTIONS = 5
"""Bisections at which neighbours are 2 % apart, which `DIGITS` digits still tell apart."""
DIGITS = 3
FINE_HALVINGS = 9
"""Halvings of a θ in units of pre-activations: cells may integrate what a thousandth of one leaves out."""


@dataclass(frozen=True)
class LogGrid:
    """Values of θ by index, evenly spaced on a log scale; the search begins at index 0."""

    start: float = 1 / 16
    doublings: int = 7
    """Doublings that the search may go up from the start."""
    halvings: int = 4
    """Halvings that the search may go down if even the start loses too much."""
    bisections: int = 3
    """Bisections between the last doubling that fits and the first that does not."""

    def __post_init__(self) -> None:
        if not 0 <= self.bisections <= MAX_BISECTIONS:
            raise ConfigError(f"refine = {self.bisections}: need 0 to {MAX_BISECTIONS} bisections")

    def for_policy(self, policy: str | Policy) -> LogGrid:
        """Return the grid for a policy, which goes further down if each input has a threshold of its own."""
        made = policy_from(policy)
        return replace(self, halvings=FINE_HALVINGS) if declaration(made).threshold_per_input else self

    @property
    def stride(self) -> int:
        """Indices per doubling: as many as the bisections can tell apart."""
        return 1 << self.bisections

    @property
    def max_tries(self) -> int:
        """Largest number of tries of one search."""
        return 1 + max(self.doublings, self.halvings) + self.bisections

    def theta(self, index: int) -> float:
        """Return the θ at an index."""
        return float(f"{self.start * 2.0 ** (index / self.stride):.{DIGITS}g}")

    @property
    def ends(self) -> tuple[float, float]:
        """Smallest and largest θ that a search can reach."""
        return self.theta(-self.halvings * self.stride), self.theta(self.doublings * self.stride)

    def next_index(self, fits: Mapping[int, bool]) -> int | None:
        """Return the index to try next, given whether the loss fits at each index tried; None at the end."""
        if not fits:
            return 0
        bad, good = first_bad(fits), last_good(fits)
        if bad is None:
            assert good is not None, "something was tried"
            return good + self.stride if good < self.doublings * self.stride else None
        if good is None:
            return bad - self.stride if bad > -self.halvings * self.stride else None
        return (good + bad) // 2 if bad - good > 1 else None


def first_bad(fits: Mapping[int, bool]) -> int | None:
    """Return the smallest index tried whose loss does not fit, or None."""
    return min((index for index, fit in fits.items() if not fit), default=None)


def last_good(fits: Mapping[int, bool]) -> int | None:
    """Return the largest index tried that fits, below all that do not, or None."""
    bad = first_bad(fits)
    # Loss is not quite monotone, so an index above one that does not fit is never taken, even if it fits itself.
    return max((index for index, fit in fits.items() if fit and (bad is None or index < bad)), default=None)


CHANGE = "output_change"
LOSS = "metric_loss"
UserLoss = Callable[[str, float, str], float]
"""Loss of a policy at a θ in a precision by the user's own measure, next to no reuse."""


@dataclass(frozen=True)
class Bound:
    """Bound on the loss of the task metric, on a loss of the user's, or on the change of the outputs."""

    limit: float
    """Largest loss in points, or largest change as a fraction."""
    margin: float = 0.0
    """Number of standard errors that a loss must stay below `limit`."""
    cost: str = LOSS
    """Column of the results that is bounded: `metric_loss` or `output_change`."""
    user_loss: UserLoss | None = None
    """Loss that stands for that of a task metric."""

    def __post_init__(self) -> None:
        check_amount("max_loss" if self.cost == LOSS else "max_change", self.limit)
        check_amount("margin", self.margin)
        if self.margin and not self.has_interval:
            raise ConfigError(f"margin = {self.margin}: only the loss of a task metric has a standard error, need 0")

    @property
    def has_interval(self) -> bool:
        """True if the cost has a standard error."""
        return self.cost == LOSS and self.user_loss is None

    def loss_of(self, row: pd.Series[Any]) -> float:
        """Return the user's loss of a result."""
        assert self.user_loss is not None, "asked for where it is given"
        return self.user_loss(row["policy"], float(row["threshold"]), row["precision"])

    def holds(self, row: pd.Series[Any]) -> bool:
        """Return whether the cost of a result is within the bound; one that is unknown is not."""
        if self.user_loss is not None:
            return self.loss_of(row) <= self.limit
        if not self.has_interval:
            return bool(row[self.cost] <= self.limit)
        error = standard_error(row["metric_loss_low"], row["metric_loss_high"])
        return bool(row["metric_loss"] + self.margin * error <= self.limit)


@dataclass
class ThresholdSearch:
    """Search for the largest θ of one policy within the bound."""

    candidate: Candidate
    grid: LogGrid
    bound: Bound
    tried: dict[int, pd.Series[Any]] = field(default_factory=dict)
    """Results on the first machine, by index of θ."""

    @property
    def fits(self) -> dict[int, bool]:
        """Whether the loss is within the bound, by index tried."""
        return {index: self.bound.holds(row) for index, row in self.tried.items()}

    @property
    def due(self) -> int | None:
        """Index to try next; None at the end."""
        if not self.candidate.has_theta:
            return None if self.tried else 0
        return self.grid.next_index(self.fits)

    @property
    def max_tries(self) -> int:
        """Largest number of inference runs of the search."""
        return self.grid.max_tries if self.candidate.has_theta else 1

    def rows(self, index: int, widths: tuple[int, ...]) -> list[Choices]:
        """Return the choices of the points at one index, one per width."""
        return self.candidate.rows(self.grid.theta(index), widths)

    @property
    def first_rows(self) -> list[Choices]:
        """Choices of the point to try next, on one machine."""
        return [] if self.due is None else self.rows(self.due, self.candidate.widths[:1])

    @property
    def all_rows(self) -> list[Choices]:
        """Choices of every point tried, on every machine where the θ is undominated among those that fit."""
        best, widths = self._undominated(), self.candidate.widths
        return [row for i in sorted(self.tried) for row in self.rows(i, widths if i in best else widths[:1])]

    def _undominated(self) -> set[int]:
        indices = [index for index, fits in self.fits.items() if fits]
        front = pareto_front(pd.DataFrame([self.tried[index] for index in indices])) if indices else ()
        return {index for index, on_front in zip(indices, front, strict=True) if on_front}
