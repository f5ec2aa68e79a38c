"""The values of one axis, written as a list or a range, and conditions on the values a point has chosen."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError

from archsim.errors import ConfigError
from archsim.validation import FrozenRecord, explain

MOST_VALUES = 10_000
DIGITS = 12
"""Significant digits of a value in a range, so that 0.1 + 0.2 is 0.3."""
LARGEST = 1e15
Number = Annotated[int | float, Field(allow_inf_nan=False, ge=-LARGEST, le=LARGEST)]


class Range(FrozenRecord):
    """Numbers from one to another, both included: so far apart, or so many; evenly or by an equal factor."""

    model_config = ConfigDict(strict=True, populate_by_name=True)

    first: Number = Field(alias="from")
    last: Number = Field(alias="to")
    step: Number | None = Field(default=None, gt=0)
    points: int | None = Field(default=None, ge=2, le=MOST_VALUES)
    scale: Literal["linear", "log"] = "linear"

    def values(self) -> list[int] | list[float]:
        """The numbers, whole ones where both ends and all between are whole."""
        if (self.step is None) == (self.points is None):
            raise ConfigError("a range needs `step` or `points`, one of them")
        if self.last < self.first:
            raise ConfigError(f"from = {self.first} is above to = {self.last}: need it below")
        found = [float(f"{value:.{DIGITS}g}") for value in self._exact()]
        ends = isinstance(self.first, int) and isinstance(self.last, int)
        return [int(value) for value in found] if ends and all(value.is_integer() for value in found) else found

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
        if count >= MOST_VALUES:
            raise ConfigError(f"a range of {count:.3g} steps: need at most {MOST_VALUES} values")
        return [self.first + i * self.step for i in range(math.floor(count + 1e-9) + 1)]


class Between(FrozenRecord):
    """A condition on a number: at least, at most, or both."""

    model_config = ConfigDict(strict=True)

    least: Number | None = None
    most: Number | None = None

    def holds(self, value: Any) -> bool:
        """Whether a number lies between."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return (self.least is None or self.least <= value) and (self.most is None or value <= self.most)


Condition = Between | list[Any]
"""Between two numbers, or any of some values."""


def axis_values(key: str, values: Any) -> list[Any]:
    """The values of an axis; ConfigError for what is neither a list nor a range."""
    if isinstance(values, dict):
        try:
            return list(Range.model_validate(values).values())
        except ValidationError as error:
            found = f"{key}: {explain(error, Range)}"
            raise ConfigError(f"{found}; a range is {{from, to, step}} or {{from, to, points}}") from None
        except ConfigError as error:
            raise ConfigError(f"{key}: {error}") from None
    if not isinstance(values, list | tuple) or not values:
        raise ConfigError(f"{key} = {values!r}: need a list of at least one value, or a range {{from, to, step}}")
    return list(values)


def check_once(key: str, values: list[Any]) -> None:
    """ConfigError for a value that stands twice on an axis."""
    seen = set()
    for value in values:
        if (one := _hashable(value)) in seen:
            raise ConfigError(f"{key} has {value!r} twice: need each value once")
        seen.add(one)


def _hashable(value: Any) -> Any:
    """Return something equal for equal values, which a set can hold."""
    return (type(value), *map(_hashable, value)) if isinstance(value, list | tuple) else value


def condition_of(where: str, wanted: Any) -> Condition:
    """A condition as it is written: a value, a list of values, or {least, most}; ConfigError starts with `where`."""
    if not isinstance(wanted, dict):
        return wanted if isinstance(wanted, list) else [wanted]
    try:
        return Between.model_validate(wanted)
    except ValidationError as error:
        raise ConfigError(f"{where}: {explain(error, Between)}") from None


def matches(point: dict[str, Any], conditions: dict[str, Condition]) -> bool:
    """Whether a point has chosen what every condition asks for."""
    return all(key in point and _meets(point[key], wanted) for key, wanted in conditions.items())


def _meets(value: Any, wanted: Condition) -> bool:
    return wanted.holds(value) if isinstance(wanted, Between) else value in wanted
