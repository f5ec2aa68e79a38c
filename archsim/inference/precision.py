"""Number formats that the machine may store (SEMANTICS 1.2), by name."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from archsim.errors import ConfigError
from archsim.ir.network import Network
from archsim.kernels.arrays import F32, I16
from archsim.kernels.numerics.rounding import LARGEST_CODE


@dataclass(frozen=True)
class Precision:
    """Number format of weights, inputs, h and memo."""

    name: str
    fp16: bool = False
    """Whether weights, inputs and h are binary16."""
    largest_weight_code: int = 0
    """Q, the largest magnitude of a weight's code; 0 where weights are no codes."""

    @property
    def is_integer(self) -> bool:
        """Whether products are sums of integers; inputs have 8 bits then, and need the largest values of x and h."""
        return self.largest_weight_code > 0

    @property
    def fp16_memo(self) -> bool:
        """Whether memoized products are binary16."""
        return self.name != "fp32"


_KNOWN = (
    Precision("fp16", fp16=True),
    Precision("fp32"),
    Precision("int8", largest_weight_code=127),
    Precision("int4", largest_weight_code=7),
)
PRECISIONS = tuple(precision.name for precision in _KNOWN)


def precision_of(name: str) -> Precision:
    """Return a precision by its name; ConfigError for one that is not known."""
    for precision in _KNOWN:
        if precision.name == name:
            return precision
    raise ConfigError(f"precision = {name!r}: accepted: {', '.join(PRECISIONS)}")


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
