"""Conversions of time, size and energy, each made only here.

Simulated time is an integer number of picoseconds (SEMANTICS 2).
"""

from __future__ import annotations

from dataclasses import dataclass

PS_PER_S = 1_000_000_000_000
KIB, MIB = 1 << 10, 1 << 20
BYTES_PER_SUM = 4
"""Bytes of a sum of products (float32)."""


@dataclass(frozen=True)
class Clock:
    """Clock domain, which converts cycles to picoseconds and back."""

    period_ps: int

    def to_ps(self, cycles: int) -> int:
        """Return the picoseconds of a whole number of cycles."""
        return cycles * self.period_ps

    def to_cycles(self, time_ps: int) -> int:
        """Return the cycles begun by `time_ps`; a started cycle counts."""
        return ceil_div(time_ps, self.period_ps)


def ceil_div(a: int, b: int) -> int:
    """Return a / b rounded up, for integers."""
    return -(-a // b)


def joules(energy_pj: float) -> float:
    """Convert picojoules to joules."""
    return energy_pj * 1e-12


def leakage_pj(power_mw: float, time_ps: int) -> float:
    """Return the energy in picojoules of a constant power over a time (1 mW for 1 ps is 1e-3 pJ)."""
    return power_mw * time_ps * 1e-3
