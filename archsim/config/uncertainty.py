"""What doubtful constants may plausibly be, each range with its source."""

from __future__ import annotations

import tomllib

from pydantic import model_validator

from archsim.config.field import Spec
from archsim.files import bundled_tables


class Range(Spec):
    """Two ends of what a constant may be."""

    low: float
    high: float
    unit: str
    source: str

    @model_validator(mode="after")
    def _in_order(self) -> Range:
        if not 0 <= self.low <= self.high:
            raise ValueError(f"low = {self.low}, high = {self.high}: need 0 <= low <= high")
        return self


class Doubtful(Spec):
    """The constants an energy saving rests on and nobody knows well."""

    technologies: list[str]
    mac_pj: Range
    dram_pj_per_bit: Range


def doubtful() -> Doubtful:
    """Load the table of the package."""
    return Doubtful.model_validate(
        tomllib.loads(bundled_tables("archsim.config.ranges")["doubtful"].read_text("utf-8"))
    )
