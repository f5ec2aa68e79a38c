"""Which θ to try next: climb by doubling until the loss is too much, then bisect; every try is a functional pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from archsim.calibration import check_amount, standard_error
from archsim.errors import ConfigError
from archsim.exploration.candidates import Candidate
from archsim.exploration.points import pareto_front
from archsim.sweeps.choices import Choices

MOST_BISECTIONS = 5
"""Rungs are 2 % apart then, which three digits tell apart."""
DIGITS = 3


@dataclass(frozen=True)
class LogGrid:
    """Values of θ by number, evenly spread on a log scale; rung 0 is where the climb begins."""

    start: float = 1 / 16
    doublings: int = 7
    """How far up the climb may go."""
    halvings: int = 4
    """How far down, where even the start loses too much."""
    bisections: int = 3
    """Between the last doubling that fits and the first that does not."""

    def __post_init__(self) -> None:
        if not 0 <= self.bisections <= MOST_BISECTIONS:
            raise ConfigError(f"refine = {self.bisections}: need 0 to {MOST_BISECTIONS} bisections")

    @property
    def stride(self) -> int:
        """Rungs in a doubling: as many as the bisections can tell apart."""
        return 1 << self.bisections

    @property
    def most(self) -> int:
        """Tries that one search may take."""
        return 1 + max(self.doublings, self.halvings) + self.bisections

    def theta(self, index: int) -> float:
        """θ of a rung."""
        return float(f"{self.start * 2.0 ** (index / self.stride):.{DIGITS}g}")

    @property
    def ends(self) -> tuple[float, float]:
        """The least and the largest θ that a climb can come to."""
        return self.theta(-self.halvings * self.stride), self.theta(self.doublings * self.stride)

    def next_index(self, fits: Mapping[int, bool]) -> int | None:
        """The rung to try after those tried, each with whether its loss fits; None at the end.

        What lies above a rung that does not fit is never taken: loss is not quite monotone.
        """
        if not fits:
            return 0
        bad = min((index for index, fit in fits.items() if not fit), default=None)
        good = max((index for index, fit in fits.items() if fit and (bad is None or index < bad)), default=None)
        if bad is None:
            assert good is not None, "something was tried"
            return good + self.stride if good < self.doublings * self.stride else None
        if good is None:
            return bad - self.stride if bad > -self.halvings * self.stride else None
        return (good + bad) // 2 if bad - good > 1 else None


@dataclass(frozen=True)
class Bound:
    """How much may be lost."""

    max_loss: float
    """Points of the metric."""
    margin: float
    """Standard errors a loss must stay below."""

    def __post_init__(self) -> None:
        check_amount("max_loss", self.max_loss)
        check_amount("margin", self.margin)

    def holds(self, row: pd.Series[Any]) -> bool:
        """Whether a point's loss stays within."""
        error = standard_error(row["metric_loss_low"], row["metric_loss_high"])
        return bool(row["metric_loss"] + self.margin * error <= self.max_loss)


@dataclass
class ThresholdSearch:
    """One policy's search for the largest θ within the bound."""

    candidate: Candidate
    grid: LogGrid
    bound: Bound
    tried: dict[int, pd.Series[Any]] = field(default_factory=dict)
    """Results on the first machine, by rung."""

    @property
    def fits(self) -> dict[int, bool]:
        """Rungs tried, and whether their loss is within the bound."""
        return {index: self.bound.holds(row) for index, row in self.tried.items()}

    @property
    def due(self) -> int | None:
        """The rung to try next."""
        if not self.candidate.has_theta:
            return None if self.tried else 0
        return self.grid.next_index(self.fits)

    @property
    def most(self) -> int:
        """Passes it may take."""
        return self.grid.most if self.candidate.has_theta else 1

    def rows(self, index: int, widths: tuple[int, ...]) -> list[Choices]:
        """What the points at a rung choose."""
        return self.candidate.rows(self.grid.theta(index), widths)

    @property
    def first_rows(self) -> list[Choices]:
        """The point to try next, on one machine."""
        return [] if self.due is None else self.rows(self.due, self.candidate.widths[:1])

    @property
    def all_rows(self) -> list[Choices]:
        """Every point tried, and the other machines where no other θ of the policy within the bound gains more."""
        best, widths = self._best(), self.candidate.widths
        return [
            row for index in sorted(self.tried) for row in self.rows(index, widths if index in best else widths[:1])
        ]

    def _best(self) -> set[int]:
        indices = [index for index, fits in self.fits.items() if fits]
        front = pareto_front(pd.DataFrame([self.tried[index] for index in indices])) if indices else ()
        return {index for index, on_it in zip(indices, front, strict=True) if on_it}
