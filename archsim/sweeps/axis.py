"""Values of one axis, written as a list or a range, and conditions on the values of a point."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError

from archsim.errors import ConfigError
from archsim.validation import FrozenRecord, explain

MAX_VALUES = 10_000
DIGITS = 12
"""Significant digits of a value in a range, so that 0.1 + 0.2 is 0.3."""
LARGEST = 1e15
Number = Annotated[int | float, Field(allow_inf_nan=False, ge=-LARGEST, le=LARGEST)]


class Range(FrozenRecord):
    """Range of numbers with both ends, given by `step` or by `points`, evenly spaced or by an equal factor."""

    model_config = ConfigDict(strict=True, populate_by_name=True)

    first: Number = Field(alias="from")
    last: Number = Field(alias="to")
    step: Number | None = Field(default=None, gt=0)
    points: int | None = Field(default=None, ge=2, le=MAX_VALUES)
    scale: Literal["linear", "log"] = "linear"

    def values(self) -> list[int] | list[float]:
        """Return the numbers, as ints if both ends are ints and every number is whole."""
        if (self.step is None) == (self.points is None):
            raise ConfigError("a range needs `step` or `points`, one of them")
        if self.last < self.first:
            raise ConfigError(f"from = {self.first} is above to = {self.last}: need it below")
        numbers = [float(f"{value:.{DIGITS}g}") for value in self._exact()]
        ends = isinstance(self.first, int) and isinstance(self.last, int)
        return [int(value) for value in numbers] if ends and all(value.is_integer() for value in numbers) else numbers

    def _exact(self) -> list[float]:
        if self.scale == "log":
            if self.points is None or self.first <= 0:
                raise ConfigError("a range with scale = 'log' needs `points`, and from > 0")
            factor = (self.last / self.first) ** (1 / (self.points - 1))
            return [self.first * factor**i for i in range(self.points)]
        if self.step is None:
            assert self.points is not None, "one of them is set"
            width = (self.last - self.first) / (self.points - 1)
            return [self.first + i * width for i in range(self.points)]
        count = (self.last - self.first) / self.step
        if count >= MAX_VALUES:
            raise ConfigError(f"a range of {count:.3g} steps: need at most {MAX_VALUES} values")
        # The small term keeps the last value, because 0.3 / 0.1 is a little below 3.
        return [self.first + i * self.step for i in range(math.floor(count + 1e-9) + 1)]


class Between(FrozenRecord):
    """Condition on a number: at least, at most, or both."""

    model_config = ConfigDict(strict=True)

    least: Number | None = None
    most: Number | None = None

    def holds(self, value: Any) -> bool:
        """Return whether a number is within the condition."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return (self.least is None or self.least <= value) and (self.most is None or value <= self.most)


Condition = Between | list[Any]
"""Condition on a value: between two numbers, or one of a list."""


def axis_values(key: str, values: Any) -> list[Any]:
    """Return the values of an axis; raise ConfigError for anything but a list or a range."""
    if isinstance(values, dict):
        try:
            return list(Range.model_validate(values).values())
        except ValidationError as error:
            problem = f"{key}: {explain(error, Range)}"
            raise ConfigError(f"{problem}; a range is {{from, to, step}} or {{from, to, points}}") from None
        except ConfigError as error:
            raise ConfigError(f"{key}: {error}") from None
    if not isinstance(values, list | tuple) or not values:
        raise ConfigError(f"{key} = {values!r}: need a list of at least one value, or a range {{from, to, step}}")
    return list(values)


def check_once(key: str, values: list[Any]) -> None:
    """Raise ConfigError for a value that occurs twice on an axis."""
    seen = set()
    for value in values:
        if (one := _hashable(value)) in seen:
            raise ConfigError(f"{key} has {value!r} twice: need each value once")
        seen.add(one)


def _hashable(value: Any) -> Any:
    """Return a key for a set, equal for equal values of one type."""
    return (type(value), *map(_hashable, value)) if isinstance(value, list | tuple) else value


def condition_of(where: str, wanted: Any) -> Condition:
    """Return the condition written as a value, a list of values, or {least, most}; a ConfigError names `where`."""
    if not isinstance(wanted, dict):
        return wanted if isinstance(wanted, list) else [wanted]
    try:
        return Between.model_validate(wanted)
    except ValidationError as error:
        raise ConfigError(f"{where}: {explain(error, Between)}") from None


def matches(point: dict[str, Any], conditions: dict[str, Condition]) -> bool:
    """Return whether a point meets every condition."""
    return all(key in point and _meets(point[key], wanted) for key, wanted in conditions.items())


def _meets(value: Any, wanted: Condition) -> bool:
    return wanted.holds(value) if isinstance(wanted, Between) else value in wanted
