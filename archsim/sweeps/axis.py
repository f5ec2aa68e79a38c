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
Number = Annotated[int | float, Field(allow_inf_nan=False)]


class Range(FrozenRecord):
    """Numbers from one to another, both included: so far apart, or so many; evenly or by an equal factor."""

    model_config = ConfigDict(strict=True, populate_by_name=True)

    first: Number = Field(alias="from")
    last: Number = Field(alias="to")
    step: Number | None = Field(default=None, gt=0)
    points: int | None = Field(default=None, ge=2, le=MOST_VALUES)
    scale: Literal["linear", "log"] = "linear"

    def values(self) -> list[int | float]:
        """The numbers, whole ones where `from` and `step` are whole."""
        if (self.step is None) == (self.points is None):
            raise ConfigError("a range needs `step` or `points`, one of them")
        if self.last < self.first:
            raise ConfigError(f"from = {self.first} is above to = {self.last}: need it below")
        if self.scale == "log":
            return self._by_factor()
        if self.step is None:
            assert self.points is not None, "checked above"
            width = (self.last - self.first) / (self.points - 1)
            return [_rounded(self.first + i * width) for i in range(self.points)]
        count = math.floor((self.last - self.first) / self.step + 1e-9) + 1
        if count > MOST_VALUES:
            raise ConfigError(f"a range of {count} values: need at most {MOST_VALUES}")
        found = [self.first + i * self.step for i in range(count)]
        return [value if isinstance(value, int) else _rounded(value) for value in found]

    def _by_factor(self) -> list[int | float]:
        if self.points is None or self.first <= 0:
            raise ConfigError("a range with scale = 'log' needs `points`, and from > 0")
        factor = (self.last / self.first) ** (1 / (self.points - 1))
        return [_rounded(self.first * factor**i) for i in range(self.points)]


class Between(FrozenRecord):
    """A condition on a number: at least, at most, or both."""

    model_config = ConfigDict(strict=True)

    least: Number = -math.inf
    most: Number = math.inf


Condition = Between | list[Any] | str | int | float | bool
"""One value, any of several, or between two numbers."""


def axis_values(key: str, values: Any) -> list[Any]:
    """The values of an axis; ConfigError for what is neither a list nor a range."""
    if isinstance(values, dict):
        try:
            return list(Range.model_validate(values).values())
        except ValidationError as error:
            raise ConfigError(
                f"{key}: {explain(error, Range)}; a range is {{from, to, step}} or {{from, to, points}}"
            ) from None
        except ConfigError as error:
            raise ConfigError(f"{key}: {error}") from None
    if not isinstance(values, list | tuple) or not values:
        raise ConfigError(f"{key} = {values!r}: need a list of at least one value, or a range {{from, to, step}}")
    return list(values)


def check_once(key: str, values: list[Any]) -> None:
    """ConfigError for a value that stands twice on an axis."""
    for i, value in enumerate(values):
        if value in values[:i]:
            raise ConfigError(f"{key} has {value!r} twice: need each value once")


def matches(point: dict[str, Any], condition: dict[str, Condition]) -> bool:
    """Whether a point has chosen what every entry of a condition asks for."""
    return all(key in point and _meets(point[key], wanted) for key, wanted in condition.items())


def _meets(value: Any, wanted: Condition) -> bool:
    if isinstance(wanted, Between):
        return isinstance(value, int | float) and wanted.least <= value <= wanted.most
    return value in wanted if isinstance(wanted, list) else bool(value == wanted)


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
