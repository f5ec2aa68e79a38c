"""Work items of a machine, from groups of weights down to steps, and the length of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol

from archsim.activity import PassShape
from archsim.config.arch import ArchSpec
from archsim.config.precision import FP16, Precision
from archsim.kernels.arrays import U8, Bools


class Products(Enum):
    """Dot products that a pass segment computes: all, those with x_t, or those with h_{t-1}."""

    ALL = ""
    INPUTS = "inputs"
    """Products with x_t of all steps, before the recurrence begins."""
    RECURRENT = "recurrent"


@dataclass(frozen=True)
class PassSegment:
    """A pass, or one of the two halves into which the data flow `mwl` cuts it."""

    shape: PassShape
    products: Products = Products.ALL
    numbers: Precision = FP16
    """Number format of the machine."""

    @property
    def n_x(self) -> int:
        """Elements of x_t, I."""
        return self.shape.n_inputs - self.shape.n_hidden

    @property
    def columns(self) -> int:
        """Length of a dot product."""
        n_x, n_h = self.n_x, self.shape.n_hidden
        return {Products.ALL: n_x + n_h, Products.INPUTS: n_x, Products.RECURRENT: n_h}[self.products]

    @property
    def n_terms(self) -> int:
        """Parts of a dot product, W_ih·x and W_hh·h, each with a scale of its own in an integer format."""
        return 2 if self.products is Products.ALL else 1

    @property
    def row_bytes(self) -> int:
        """Bytes of one neuron's weights."""
        return self.numbers.weight_bytes(self.columns)

    @property
    def column_bytes(self) -> int:
        """Bytes of the weights of one element of [x; h] in a gate."""
        return self.numbers.weight_bytes(self.shape.n_units)

    @property
    def updates_cells(self) -> bool:
        """True if the segment updates cells and may reuse neurons; False for the half with x only."""
        return self.products is not Products.INPUTS

    @property
    def n_projected(self) -> int:
        """Rows of the projection that ends each step of the segment; 0 without one."""
        return self.shape.n_projected if self.updates_cells else 0

    @property
    def projection_rows(self) -> list[int]:
        """Rows of the projection in each computation unit; row j is in unit j mod G."""
        n_gates = self.shape.n_gates
        return [len(range(unit, self.n_projected, n_gates)) for unit in range(n_gates)]

    @property
    def projection_bytes(self) -> int:
        """Bytes of the projection's rows in one computation unit; each gets room for the most rows."""
        return self.projection_rows[0] * self.numbers.weight_bytes(self.shape.n_units)

    @property
    def resets_before(self) -> bool:
        """True if the last gate reads r ⊙ h, and so waits for the first gate in every step."""
        return self.shape.resets_before and self.updates_cells

    @property
    def update_groups(self) -> int:
        """Series of updates per step: with reset before the product r ⊙ h of all hidden units, then their cells."""
        return 2 if self.resets_before else 1

    @property
    def label(self) -> str:
        """Name in timelines and messages: layer, direction, half."""
        name = f"layer {self.shape.layer}{'r' if self.shape.direction else ''}"
        return f"{name} {self.products.value}".rstrip()


class WeightVectors(NamedTuple):
    """Weights of a segment in one computation unit as they lie in memory, one after the other: rows, or columns."""

    number: int
    each_bytes: int

    @property
    def total_bytes(self) -> int:
        """Bytes of all of them."""
        return self.number * self.each_bytes


class PredictorBytes(NamedTuple):
    """Bytes per computation unit that a predictor or a tail reads beside a segment's weights; zero where none."""

    other_signs: int = 0
    """Bytes of sign bits outside this segment's weights, which the predictor also reads."""
    planes: int = 0
    """Bytes of the planes beyond the signs."""
    streamed: int = 0
    """Bytes of all signs and planes, which take their place in the weight buffer where weights stream (D32)."""
    tail: int = 0
    """Bytes of a tail's weights of few bits, which lie in a bank of their own even where weights stream (D61)."""
    constants: int = 0
    """Bytes of constants of inputs; they come with the weights and lie in intermediate memory (D57)."""


WeightGroup = tuple[PassSegment, ...]
"""Segments that share the weight buffer at a time: one, or the layers of a decoder. It streams unless it fits."""


def weight_groups(shapes: Sequence[PassShape], arch: ArchSpec) -> list[WeightGroup]:
    """Return the groups in order: a pass each, or its two halves under `mwl`; a decoder's layers are one group."""
    halves = [Products.INPUTS, Products.RECURRENT] if arch.dataflow == "mwl" else [Products.ALL]
    groups: list[WeightGroup] = [
        (PassSegment(s, half, arch.numbers),) for s in shapes if not s.decodes for half in halves
    ]
    # A decoder's next input is its own output, so its layers take turns at every step and cannot be split or evicted.
    decoder = tuple(PassSegment(shape, numbers=arch.numbers) for shape in shapes if shape.decodes)
    return [*groups, decoder] if decoder else groups


@dataclass(frozen=True)
class RunLength:
    """Simulated time, cycles and SimPy events; listeners collect the rest."""

    time_ps: int
    cycles: int
    events: int


@dataclass(frozen=True, eq=False)
class PassWork:
    """Segment of a pass over one sequence, with its decisions."""

    sequence: int
    segment: PassSegment
    reuse_bits: U8
    """Decisions as the activity record packs them, (T, bytes_per_step)."""
    streamed: StreamedWeights | None = None
    """Source of the weights that are not on chip; None where all are."""

    @property
    def n_steps(self) -> int:
        """T."""
        return int(self.reuse_bits.shape[0])


@dataclass(frozen=True, eq=False)
class StreamedWeights:
    """Weights of a segment that do not all fit: some rows or columns stay, the others are fetched in every step."""

    resident: Bools
    """Mask of the rows that stay, (H,), or of the columns, (N,), the same in every computation unit."""
    addresses: tuple[int, ...]
    """Address in main memory of each gate's weights."""
    each_bytes: int
    """Bytes of a row, or of a column."""
    slots: int
    """Rows, or columns, in flight or in use at a time, per computation unit."""


class UpdateTimes(Protocol):
    """Constants of the step recurrence that the multi-functional unit needs, whatever the machine."""

    @property
    def update_interval_cycles(self) -> int:
        """II_m."""

    @property
    def update_pipeline_cycles(self) -> int:
        """L_m."""

    @property
    def writeback_cycles(self) -> int:
        """L_w."""


@dataclass(frozen=True, eq=False)
class UpdateWork:
    """One time step as the multi-functional unit sees it."""

    segment: PassSegment
    times: UpdateTimes
