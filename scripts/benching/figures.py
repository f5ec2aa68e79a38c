"""Measured figures, their targets, and the clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

REPEATS = 3


@dataclass(frozen=True)
class Figure:
    """One line of the benchmark: a ratio of two times of this run, unless the unit says otherwise."""

    question: str
    name: str
    value: float
    unit: str = "x"
    target: float | None = None
    at_least: bool = False
    """Whether the target is a lower bound instead of an upper bound."""

    @property
    def holds(self) -> bool | None:
        """Whether the target is met, or None without a target."""
        if self.target is None:
            return None
        return self.value >= self.target if self.at_least else self.value <= self.target


def best_s(work: Callable[[], object], repeats: int = REPEATS) -> float:
    """Return the seconds of the fastest run; a first run, which compiles and loads, does not count."""
    work()
    return min(seconds_of(work) for _ in range(repeats))


def seconds_of(work: Callable[[], object]) -> float:
    """Return the seconds of one run."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
