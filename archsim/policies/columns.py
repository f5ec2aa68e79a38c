"""Interface of column-skipping policies, which decide which inputs enter the products of a step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from archsim.kernels.arrays import F32, Bools


@dataclass(frozen=True, eq=False)
class ColumnContext:
    """One (layer, direction) over a batch of sequences, as given to a policy at the start."""

    n_inputs: int
    """N = I + R, the elements of [x; h] and the columns of the joint weights."""
    batch: int
    threshold: float
    """θ of the layer, in the unit of x and h unless the policy weighs its inputs."""
    weight_ih: F32
    """Weights of x as the machine stores them, (G·H, I)."""
    weight_hh: F32
    """Weights of h, (G·H, R)."""
    input_weights: F32
    """ρ of each element of [x; h], in units of pre-activations per unit of the element (SEMANTICS 1.4), (N,)."""


@dataclass(frozen=True, eq=False)
class ColumnStep:
    """One time step of the sequences still running; row b is the same sequence in both arrays."""

    index: int
    values: F32
    """Values of [x; h] as the policy represents them, (B, N)."""
    propagated: F32
    """Value of each element when it last entered the products, (B, N); 0 if it never did."""


class ColumnPass(Protocol):
    """State of a column-skipping policy during one pass."""

    def represent(self, inputs: F32) -> F32:
        """Return the numbers that products are made of, from [x; h] (B, N): the inputs, or what they round to."""

    def decide(self, step: ColumnStep) -> Bools:
        """Return which elements are skipped, (B, N), the same for all gates; at step 0 none may be.

        Sequences end in row order, last row first: B never grows from step to step.
        """


class ColumnPolicy(Protocol):
    """Policy that skips columns of weights; named, registered and kept in digests as any policy."""

    name: str
    needs_threshold: bool
    uses_memo_unit: bool
    """Always False, because that unit memoizes neurons one by one."""
    by_columns: bool
    """Always True; a policy without the attribute reuses neurons."""

    def begin(self, context: ColumnContext) -> ColumnPass:
        """Start a pass in which nothing has been propagated."""
