"""What a reuse policy is given and what it must answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from archsim.kernels.arrays import F32, Bools


@dataclass(frozen=True)
class PassContext:
    """One (layer, direction) over a batch of sequences, as a policy sees it at the start."""

    weight_ih: F32
    """(G·H, I), as the machine stores it."""
    weight_hh: F32
    """(G·H, H)."""
    n_gates: int
    n_units: int
    batch: int
    thresholds: F32
    """θ of each gate, (G,)."""


@dataclass(frozen=True)
class Step:
    """One time step of the sequences still running; row b is the same sequence in every array."""

    index: int
    x: F32
    """Inputs (B, I)."""
    h: F32
    """Hidden values of the step before (B, H)."""
    exact: F32
    """Dot products computed in full (B, G, H); only an oracle may look."""
    memo: F32
    """Memoized dot products (B, G, H); meaningless at step 0."""


class PassPolicy(Protocol):
    """The running state of a policy on one pass."""

    def decide(self, step: Step) -> Bools:
        """Return which neurons reuse their memo, (B, G, H); at step 0 none may.

        Sequences end in row order, last row first: B never grows from step to step.
        """


class ReusePolicy(Protocol):
    """A way to decide reuse; `name` is what users type."""

    name: str
    needs_threshold: bool
    uses_memo_unit: bool
    """Whether the machine needs the memoization unit to run it."""

    def begin(self, context: PassContext) -> PassPolicy:
        """Start a pass with empty memos."""
