"""Arithmetic of a run by the name of its precision (SEMANTICS 1.2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from archsim.config.precision import FP16, Precision, precision_of
from archsim.ir.network import Network
from archsim.kernels.arrays import F32, I16
from archsim.kernels.numerics.rounding import LARGEST_CODE


@dataclass(frozen=True)
class Arithmetic:
    """Arithmetic of a run; fp32 is what no machine holds, to check the others by."""

    name: str
    numbers: Precision
    """Number format of the machine."""

    @property
    def fp16(self) -> bool:
        """Whether weights, inputs and h are binary16."""
        return self.name == FP16.name

    @property
    def is_integer(self) -> bool:
        """Whether products are sums of integers; inputs have 8 bits then, and need the largest values of x and h."""
        return self.numbers.is_integer

    @property
    def largest_weight_code(self) -> int:
        """Q, the largest magnitude of a weight's code, where weights are codes."""
        return int(2 ** (self.numbers.weight_bits - 1) - 1)

    @property
    def fp16_memo(self) -> bool:
        """Whether memoized products are binary16."""
        return self.name != "fp32"


def arithmetic_of(name: str) -> Arithmetic:
    """Return the arithmetic of a precision by its name; ConfigError for one that is not known."""
    return Arithmetic(name, precision_of(name))


def is_integer(name: str) -> bool:
    """Return whether products are sums of integers in the precision of this name; ConfigError for one not known."""
    return precision_of(name).is_integer


def measuring_precision(name: str) -> str:
    """Return the precision in which scales are measured for a run in that of this name: fp32 for integers."""
    return "fp32" if is_integer(name) else name


def lacks_ranges(network: Network, precision: str) -> bool:
    """Return whether a precision needs the largest values of x and h, and nobody has measured them."""
    return is_integer(precision) and (network.scales is None or network.scales.largest_inputs is None)


def level_spacing(largest: float) -> np.float32:
    """Return the level spacing of inputs in 8 bits; 1 where all are 0, whose codes are 0 at any spacing."""
    spacing = np.float32(largest) / np.float32(LARGEST_CODE)
    return spacing if spacing > 0 else np.float32(1)


def quantised_rows(weights: F32, largest_code: int) -> tuple[I16, F32]:
    """Return the codes of weights (rows, N), in [-Q, Q], and the level spacing of each row (rows,)."""
    spacings = np.abs(weights).max(axis=1, initial=0) / np.float32(largest_code)
    spacings = np.where(spacings > 0, spacings, np.float32(1))
    codes = np.clip(np.rint(weights / spacings[:, None]), -largest_code, largest_code)
    return codes.astype(np.int16), spacings
