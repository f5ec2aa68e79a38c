"""Plausible ranges of uncertain constants, with sources."""

from __future__ import annotations

import tomllib

from pydantic import model_validator

from archsim.config.field import Spec
from archsim.config.precision import MachineFormat
from archsim.files import bundled_tables


class PlausibleRange(Spec):
    """Plausible range of a constant."""

    low: float
    high: float
    unit: str
    source: str

    @model_validator(mode="after")
    def _in_order(self) -> PlausibleRange:
        if not 0 <= self.low <= self.high:
            raise ValueError(f"low = {self.low}, high = {self.high}: need 0 <= low <= high")
        return self


class UncertainConstants(Spec):
    """Constants that decide an energy saving and are not known well."""

    technologies: list[str]
    mac_pj: dict[MachineFormat, PlausibleRange]
    """Energy of a multiply-accumulate by number format."""
    dram_pj_per_bit: PlausibleRange
    few_bits: PlausibleRange
    """Factor on the energy of weights of few bits, of reading and of multiplying them."""


def uncertain_constants() -> UncertainConstants:
    """Load the bundled table."""
    return UncertainConstants.model_validate(
        tomllib.loads(bundled_tables("archsim.config.ranges")["uncertain"].read_text("utf-8"))
    )
