"""Which θ to try next: climb by doubling until the loss is too much, then bisect; every try is a functional pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from archsim.errors import ConfigError

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
