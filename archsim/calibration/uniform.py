"""One θ for a whole network."""

from __future__ import annotations

from archsim.calibration.trials import Point, Trials
from archsim.errors import ConfigError

REFINE_STEPS = 4
"""Bisection stops at intervals of so many steps, which are then tried one by one."""


def steps_of(highest: float, resolution: float) -> int:
    """Return the number of steps of the grid of θ that stay within `highest`."""
    return int(highest / resolution + 1e-9)  # 0.3 / 0.1 is a little below 3


def largest_uniform(trials: Trials, max_loss: float, margin: float, highest: float, resolution: float) -> Point:
    """The largest θ in [0, highest], on a grid, up to which no tried one loses too much.

    Bisection, then step by step, because loss is not quite monotone.
    Raises ConfigError where even θ = 0 loses too much.
    """

    def at(step: int) -> Point:
        return trials.at(round(step * resolution, 10))

    def fits(step: int) -> bool:
        return at(step).within(max_loss, margin)

    good, bad = 0, steps_of(highest, resolution)
    if not fits(good):
        found = f"{at(good).metric_loss:.2f} points, with a standard error of {at(good).standard_error:.2f}"
        raise ConfigError(f"even θ = 0 loses {found}: too much for a bound of {max_loss:g} and a margin of {margin:g}")
    while bad - good > REFINE_STEPS:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if fits(middle) else (good, middle)
    while good < bad and fits(good + 1):
        good += 1
    return at(good)
