"""What goes through the machine: groups of passes, passes, steps; and what a run says at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from archsim.kernels.arrays import U8, Bools
from archsim.traceio.activity import PassShape

ResidentGroup = tuple[PassShape, ...]
"""Passes whose weights must be on chip together."""


def resident_groups(shapes: Sequence[PassShape]) -> list[ResidentGroup]:
    """Every pass by itself, but all layers of a decoder together: they take turns at every step."""
    groups: list[ResidentGroup] = [(shape,) for shape in shapes if not shape.decodes]
    decoder = tuple(shape for shape in shapes if shape.decodes)
    return [*groups, decoder] if decoder else groups


@dataclass(frozen=True)
class Run:
    """What a simulation says of itself; everything else listeners have heard."""

    time_ps: int
    cycles: int
    events: int


@dataclass(frozen=True, eq=False)
class PassWork:
    """One layer and direction over one sequence."""

    sequence: int
    shape: PassShape
    reuse_bits: U8
    """(T, bytes_per_step), as the activity record packs them."""

    @property
    def n_steps(self) -> int:
        """T."""
        return int(self.reuse_bits.shape[0])

    @property
    def label(self) -> str:
        """A name for people: layer, direction, sequence."""
        return f"layer {self.shape.layer}{'r' if self.shape.direction else ''} sequence {self.sequence}"


@dataclass(frozen=True, eq=False)
class StepWork:
    """One time step as one computation unit sees it: the decisions of its gate's neurons."""

    shape: PassShape
    reused: Bools
    """(H,)."""


@dataclass(frozen=True)
class Decision:
    """The memoization unit's word on one neuron."""

    neuron: int
    reused: bool
