"""Predictors as hardware: each states its own cost, and timing, energy, area and capacity checks ask for it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from archsim.config.components import Action, ComponentTables
from archsim.errors import ConfigError
from archsim.units import ceil_div

if TYPE_CHECKING:
    from archsim.config.memo_unit import FmuSpec
    from archsim.config.precision import Precision

MAX_UNIT_BITS = 16
"""Largest number of planes, and of bit operations, that a memoization unit may have; policies need fewer."""
INT16_MAX = (1 << 15) - 1
PRODUCT_BYTES = 2
"""Bytes of a memoized product, binary16."""
CORRECTION_UNIT_BYTES = 2
"""Bytes of the unit in which a product is corrected, binary16."""


class Predictor(ABC):
    """Hardware of a policy's predictor in the memoization unit of each gate, and its cost per prediction.

    A policy returns one from its attribute `predictor`. In all methods `fmu` is the memoization unit that the predictor
    is built into, and `n_inputs` is N, the length of [x; h]. The machine itself charges the memo buffer (a read and a
    write per prediction), the banks of the planes, all fills, the way of constants into the unit, and the correctors.
    """

    planes: int = 0
    """Bits kept per weight in banks of their own; the first is the weight's sign, split off the weight buffer."""
    corrects: bool = False
    """Whether reused products are corrected, which takes a multiply-add per prediction."""
    tables: ComponentTables = ComponentTables()
    """Energy, leakage and area of components that a technology may not know; its own entries take precedence."""

    @abstractmethod
    def issue_cycles(self, fmu: FmuSpec, n_inputs: int) -> int:
        """Return c_f, the cycles between two predictions, at least 1 (SEMANTICS 2.2)."""

    @abstractmethod
    def actions(self, fmu: FmuSpec, n_inputs: int) -> Iterable[Action]:
        """Return the actions of one prediction and of its comparison with the memo."""

    @abstractmethod
    def memo_entry_bytes(self, n_inputs: int) -> int:
        """Return the bytes of a memo entry: the memoized product, and everything that predictions are compared by."""

    @abstractmethod
    def parts(self, fmu: FmuSpec) -> Mapping[str, int]:
        """Return the number of instances of each component that makes predictions, per computation unit."""

    def input_actions(self, fmu: FmuSpec, n_inputs: int) -> Iterable[Action]:
        """Return the actions per step and computation unit that prepare the inputs, whatever is predicted from them."""
        return ()

    def pass_actions(self, fmu: FmuSpec, n_inputs: int) -> Iterable[Action]:
        """Return the actions per pass and computation unit before its first step."""
        return ()

    def constant_bytes(self, n_inputs: int) -> int:
        """Return the bytes of a pass's constants of inputs per computation unit.

        They come with the weights, lie in intermediate memory, and are read from there when a pass starts.
        """
        return 0

    def in_format(self, numbers: Precision) -> Predictor:
        """Return this predictor for a machine of a number format."""
        return self

    def built_into(self, fmu: FmuSpec) -> Predictor:
        """Return this predictor, enlarged to what `fmu` already has."""
        return self

    def unit_fields(self) -> Mapping[str, int]:
        """Return the fields of the memoization unit, beyond its memo and its correctors, that the predictor decides."""
        return {}


@dataclass(frozen=True)
class BitPlanePredictor(Predictor):
    """Network of a few bits per weight and input; the default is the binary network of `bnn`, throttled."""

    planes: int = 1
    bit_operations: int = 1
    """Operations of each bit of a weight with one input: one per bit of the input."""
    largest_product: int = 1
    """Largest product of a weight's code and an input's."""
    drift_bytes: int = 4
    """Bytes of the drift in a memo entry; 0 without throttling."""
    corrects: bool = False
    levels: int = 0
    """Stored levels per input, which the bit of the input is found by; 0 where its sign does."""
    level_bits: int = 16
    """Bits of a level, as of an input: the least input that is not below the level decides the same."""

    def __post_init__(self) -> None:
        for name, value, most in (
            ("planes", self.planes, MAX_UNIT_BITS),
            ("bit_operations", self.bit_operations, MAX_UNIT_BITS),
            ("largest_product", self.largest_product, 1 << 2 * MAX_UNIT_BITS),
        ):
            if not 1 <= value <= most:
                raise ConfigError(f"predictor: {name} = {value}: need 1 to {most}")
        if self.levels not in (0, 1):
            raise ConfigError(f"predictor: levels = {self.levels}: need 0 or 1")
        if self.drift_bytes < 0:
            raise ConfigError(f"predictor: drift_bytes = {self.drift_bytes}: need a number >= 0")

    def issue_cycles(self, fmu: FmuSpec, n_inputs: int) -> int:
        """Return ceil(P·N / W_b): the unit takes W_b bits of weights per cycle."""
        return ceil_div(self.planes * n_inputs, fmu.width_bits)

    def actions(self, fmu: FmuSpec, n_inputs: int) -> Iterator[Action]:
        """Yield the reads of all planes, the bit operations of the dot product, and the comparison."""
        bits = n_inputs * self.planes
        yield Action("sign_bank", "predict", ceil_div(bits, fmu.sign_bank_width_bits))
        yield Action("fmu", "xnor_popcount", bits * self.bit_operations)
        yield Action("fmu", "compare", 1)

    def input_actions(self, fmu: FmuSpec, n_inputs: int) -> Iterator[Action]:
        """Yield a comparison per bit of an input, except for its sign, which is there unless it has a level."""
        yield Action("fmu", "quantise", n_inputs * (self.planes - 1 + self.levels))
        yield Action("level_buffer", "read", self._level_words(fmu, n_inputs))

    def pass_actions(self, fmu: FmuSpec, n_inputs: int) -> Iterator[Action]:
        """Yield the writes of levels into the level buffer."""
        yield Action("level_buffer", "write", self._level_words(fmu, n_inputs))

    def _level_words(self, fmu: FmuSpec, n_inputs: int) -> int:
        """Return the words of all levels; the level buffer is as wide as a sign bank."""
        return ceil_div(8 * self.constant_bytes(n_inputs), fmu.sign_bank_width_bits)

    def constant_bytes(self, n_inputs: int) -> int:
        """Return the bytes of the levels; those of h are 0, and stored all the same."""
        return ceil_div(self.levels * n_inputs * self.level_bits, 8)

    def memo_entry_bytes(self, n_inputs: int) -> int:
        """Return the bytes of product, prediction (int16 or int32), drift, and unit of correction."""
        fits = self.largest_product * n_inputs <= INT16_MAX
        return PRODUCT_BYTES + (2 if fits else 4) + self.drift_bytes + CORRECTION_UNIT_BYTES * self.corrects

    def parts(self, fmu: FmuSpec) -> Mapping[str, int]:
        """Return a binary unit per bit of an input, and the buffer of levels."""
        return {"fmu": self.bit_operations} | ({"level_buffer": 1} if self.levels else {})

    def in_format(self, numbers: Precision) -> BitPlanePredictor:
        """Return this predictor with levels as wide as inputs of the format."""
        return replace(self, level_bits=numbers.input_bits)

    def built_into(self, fmu: FmuSpec) -> BitPlanePredictor:
        """Return this predictor, enlarged to the planes, operations and correctors that `fmu` already has."""
        return replace(
            self,
            planes=max(self.planes, fmu.planes),
            bit_operations=max(self.bit_operations, fmu.bit_operations),
            corrects=self.corrects or fmu.correctors > 0,
        )

    def unit_fields(self) -> Mapping[str, int]:
        """Return the planes and bit operations of the unit."""
        return {"planes": self.planes, "bit_operations": self.bit_operations}
