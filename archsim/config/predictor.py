"""What a predictor asks of the memoization unit, so that the machine it runs on can be given that much."""

from __future__ import annotations

from dataclasses import dataclass

from archsim.errors import ConfigError

MOST_BITS = 16
INT16_MAX = (1 << 15) - 1
PRODUCT_BYTES = 2
"""A memoized product, binary16."""

UNIT_BYTES = 2


@dataclass(frozen=True)
class Predictor:
    """The small network of a policy, as hardware sees it. The default is the binary network, throttled."""

    planes: int = 1
    """Bits it keeps of a weight; the first is the weight's own sign."""
    bit_operations: int = 1
    """What is done with each of them for one input."""
    largest_product: int = 1
    """Of a weight's code and an input's."""
    drift_bytes: int = 4
    """Of the drift in a memo entry; 0 without throttling."""
    corrects: bool = False
    """Whether reused products are corrected by the change of the prediction."""

    def __post_init__(self) -> None:
        for name, value, most in (
            ("planes", self.planes, MOST_BITS),
            ("bit_operations", self.bit_operations, MOST_BITS),
            ("largest_product", self.largest_product, 1 << 2 * MOST_BITS),
        ):
            if not 1 <= value <= most:
                raise ConfigError(f"predictor: {name} = {value}: need 1 to {most}")
        if self.drift_bytes < 0:
            raise ConfigError(f"predictor: drift_bytes = {self.drift_bytes}: need a number >= 0")

    def memo_entry_bytes(self, n_inputs: int) -> int:
        """A memo entry: product, prediction as int16 or int32, drift, the unit to correct by as binary16."""
        fits = self.largest_product * n_inputs <= INT16_MAX
        return PRODUCT_BYTES + (2 if fits else 4) + self.drift_bytes + UNIT_BYTES * self.corrects
