"""Number formats of a machine, by the precision of a run (SEMANTICS 1.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from archsim.errors import ConfigError
from archsim.units import ceil_div

MachineFormat = Literal["fp16", "int8", "int4"]
"""Name of the number format that a machine stores and multiplies."""


@dataclass(frozen=True)
class Precision:
    """Bits of the numbers on a machine. Sums, biases, cell states and scales are of 32 bits in every format."""

    name: MachineFormat
    weight_bits: int
    input_bits: int
    """Bits of an element of x or h, in input buffers, intermediate memory and main memory."""
    memo_bits: int = 16
    """Bits of a memoized product, binary16 in every format."""

    @property
    def is_integer(self) -> bool:
        """Whether numbers are integers, whose sums of products are multiplied by scales."""
        return self.name != "fp16"

    @property
    def lane_bits(self) -> int:
        """Bits of the wider operand of a multiply-add, which decides how many lanes a port feeds."""
        return max(self.weight_bits, self.input_bits)

    def weight_bytes(self, n: int) -> int:
        """Return the bytes of `n` weights, the last byte filled up."""
        return ceil_div(n * self.weight_bits, 8)

    def input_bytes(self, n: int) -> int:
        """Return the bytes of `n` elements of x or h."""
        return ceil_div(n * self.input_bits, 8)


FP16 = Precision("fp16", weight_bits=16, input_bits=16)
INT8 = Precision("int8", weight_bits=8, input_bits=8)
INT4 = Precision("int4", weight_bits=4, input_bits=8)

# A run in fp32 checks the arithmetic; its machine holds binary16.
PRECISIONS: dict[str, Precision] = {"fp16": FP16, "fp32": FP16, "int8": INT8, "int4": INT4}
"""Format of the machine by the precision of the run."""


def precision_of(name: str) -> Precision:
    """Return the format of the machine of a run in this precision; ConfigError for one that is not known."""
    if name not in PRECISIONS:
        raise ConfigError(f"precision = {name!r}: accepted: {', '.join(PRECISIONS)}")
    return PRECISIONS[name]
