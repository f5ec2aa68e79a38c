"""What goes through the machine: groups of segments, segments of passes, steps; and what a run says at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from archsim.activity import PassShape
from archsim.config.arch import ArchSpec
from archsim.kernels.arrays import U8, Bools
from archsim.units import BYTES_PER_FP16, ceil_div


class Products(Enum):
    """Which of a pass's products are made together."""

    ALL = ""
    INPUTS = "inputs"
    """With x_t of all steps, before the recurrence begins."""
    RECURRENT = "recurrent"


@dataclass(frozen=True)
class PassSegment:
    """A pass, or one of the two halves into which the data flow `mwl` cuts it."""

    shape: PassShape
    products: Products = Products.ALL

    @property
    def columns(self) -> int:
        """Numbers a dot product runs over."""
        n_x, n_h = self.shape.n_inputs - self.shape.n_units, self.shape.n_units
        return {Products.ALL: n_x + n_h, Products.INPUTS: n_x, Products.RECURRENT: n_h}[self.products]

    @property
    def row_bytes(self) -> int:
        """Weights of one neuron."""
        return self.columns * BYTES_PER_FP16

    @property
    def weight_bytes(self) -> int:
        """Weights in one computation unit."""
        return self.shape.n_units * self.row_bytes

    @property
    def updates(self) -> bool:
        """Whether cells are updated as the products come, and neurons may be reused."""
        return self.products is not Products.INPUTS

    @property
    def label(self) -> str:
        """A name for people: layer, direction, half."""
        name = f"layer {self.shape.layer}{'r' if self.shape.direction else ''}"
        return f"{name} {self.products.value}".rstrip()

    def extra_sign_bytes(self, arch: ArchSpec) -> int:
        """Signs in one computation unit of weights that are not among the segment's own: the predictor takes all."""
        foreign = self.shape.n_inputs - self.columns
        return ceil_div(self.shape.n_units * foreign, 8) if arch.predictor_planes and self.updates else 0

    def extra_plane_bytes(self, arch: ArchSpec) -> int:
        """Bits in one computation unit that a predictor keeps of weights beside their signs, in banks of their own."""
        planes = max(0, arch.predictor_planes - 1) if self.updates else 0
        return ceil_div(planes * self.shape.n_units * self.shape.n_inputs, 8)

    def held_bytes(self, arch: ArchSpec) -> int:
        """What one computation unit needs to have all of it on chip."""
        return self.weight_bytes + self.extra_sign_bytes(arch)


ResidentGroup = tuple[PassSegment, ...]
"""Segments whose weights must be on chip together."""


def resident_groups(shapes: Sequence[PassShape], arch: ArchSpec) -> list[ResidentGroup]:
    """Every pass by itself, in two halves under `mwl`; but all layers of a decoder together, which take turns."""
    halves = [Products.INPUTS, Products.RECURRENT] if arch.dataflow == "mwl" else [Products.ALL]
    groups: list[ResidentGroup] = [(PassSegment(s, half),) for s in shapes if not s.decodes for half in halves]
    decoder = tuple(PassSegment(shape) for shape in shapes if shape.decodes)
    return [*groups, decoder] if decoder else groups


@dataclass(frozen=True)
class Run:
    """What a simulation says of itself; everything else listeners have heard."""

    time_ps: int
    cycles: int
    events: int


@dataclass(frozen=True, eq=False)
class PassWork:
    """A segment of a pass over one sequence."""

    sequence: int
    segment: PassSegment
    reuse_bits: U8
    """(T, bytes_per_step), as the activity record packs them: of neurons, or of columns."""
    streamed: Streamed | None = None
    """Where the weights that are not on chip come from, if any."""

    @property
    def n_steps(self) -> int:
        """T."""
        return int(self.reuse_bits.shape[0])


@dataclass(frozen=True, eq=False)
class Streamed:
    """A segment whose weights do not all fit: some rows stay, the others are fetched in every step."""

    resident: Bools
    """(H,) whether a neuron's weights stay; the same in every computation unit."""
    addresses: tuple[int, ...]
    """Where each gate's weights begin in main memory."""
    slots: int
    """Rows on their way or in use at a time, per computation unit."""


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
