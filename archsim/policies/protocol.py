"""Interface of reuse policies: their inputs, their decisions, and the traits that they may declare."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Protocol

import numpy as np

from archsim.activity import DecisionKind
from archsim.config.predictor import BitPlanePredictor, Predictor
from archsim.kernels.arrays import F32, Bools


@dataclass(frozen=True, eq=False)
class PassContext:
    """Gates of one (layer, direction) that are decided together, over a batch of sequences.

    These are all gates of a cell. A GRU with reset before the product begins two passes per (layer, direction), in this
    order: gates r and z; and the candidate, whose `Step.h` is r ⊙ h.
    """

    weight_ih: F32
    """Weights of x as the machine stores them, (G·H, I)."""
    weight_hh: F32
    """Weights of h, (G·H, R); R is H but for an LSTM with projection."""
    n_gates: int
    n_units: int
    batch: int
    thresholds: F32
    """θ of each gate, (G,)."""
    pass_key: tuple[int, int] = (0, 0)
    """Key of the pass: (layer, direction)."""
    scales: tuple[float, float] | None = None
    """Mean magnitude of x and of h on calibration data; None unless the policy needs them."""
    means: F32 | None = None
    """Mean of each element of x on calibration data, (I,); None unless the policy needs them."""


@dataclass(frozen=True, eq=False)
class Step:
    """One time step of the sequences still running; row b is the same sequence in every array."""

    index: int
    x: F32
    """Inputs (B, I)."""
    h: F32
    """Hidden values of the step before (B, R), or r ⊙ h where the gates read that."""
    products: F32
    """Dot products computed in full (B, P, H); a GRU's candidate has two, its input part and its hidden part."""
    memo_products: F32
    """Memoized dot products (B, P, H); meaningless at step 0."""
    n_gates: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of a decision, (B, G, H)."""
        return self.x.shape[0], self.n_gates, self.products.shape[2]

    @property
    def exact(self) -> F32:
        """Exact dot product of each neuron (B, G, H); only an oracle may look."""
        return _per_gate(self.products, self.n_gates)

    @property
    def memo(self) -> F32:
        """Memoized dot product of each neuron (B, G, H)."""
        return _per_gate(self.memo_products, self.n_gates)


def _per_gate(products: F32, n_gates: int) -> F32:
    """Sum the two parts of a GRU's candidate, its last products."""
    if products.shape[1] == n_gates:
        return products
    return np.concatenate([products[:, :-2], products[:, -2:-1] + products[:, -1:]], axis=1)


class PassPolicy(Protocol):
    """State of a policy during one pass."""

    def decide(self, step: Step) -> Bools:
        """Return which neurons reuse their memo, (B, G, H); at step 0 none may.

        Sequences end in row order, last row first: B never grows from step to step. Each pass belongs to one
        thread, but several passes of a policy may run at once.
        """


class CorrectingPass(PassPolicy, Protocol):
    """Pass that may correct the memoized products of reused neurons; a pass without the attribute corrects nothing."""

    correction: F32 | None
    """Amounts to add to the memoized products where they are reused, (B, G, H), set by `decide`; None for none."""


def correction_of(pass_policy: PassPolicy) -> F32 | None:
    """Return the correction that a pass made with its last decision, or None if it corrects nothing."""
    correction: F32 | None = getattr(pass_policy, "correction", None)
    return correction


class ReusePolicy(Protocol):
    """Policy that decides reuse, named `name` by its users. Attributes that are plain numbers enter a run's digest."""

    name: str
    needs_threshold: bool
    uses_memo_unit: bool
    """Whether the machine needs the memoization unit; a policy without it may reuse nothing."""
    # A policy may declare more: see Declaration.

    def begin(self, context: PassContext) -> PassPolicy:
        """Start a pass with empty memos."""


@dataclass(frozen=True)
class PolicyKind:
    """Traits of all policies that decide about the same thing."""

    decides: DecisionKind
    """Meaning of a bit of its decisions."""
    machine: str
    """Name of the machine that its policies run on unless they name another."""
    gates_differ: bool
    """Whether θ and decisions may differ from gate to gate."""
    makes_products_ahead: bool
    """Whether products with the inputs of all steps can be made before the recurrence, and shared with other runs."""
    avoided: str
    """Name of the share of work that it avoids."""


NEURONS = PolicyKind("neurons", "epur", gates_differ=True, makes_products_ahead=True, avoided="reuse")
COLUMNS = PolicyKind("columns", "delta", gates_differ=False, makes_products_ahead=False, avoided="MACs avoided")


@dataclass(frozen=True)
class Declaration:
    """Everything a policy may declare by attributes of these names; the defaults hold where it does not."""

    needs_scales: bool = False
    """Whether its passes need `PassContext.scales`."""
    needs_means: bool = False
    """Whether its passes need `PassContext.means`, which are measured with the scales."""
    predictor: Predictor = field(default_factory=BitPlanePredictor)
    """Hardware of its predictor in the memoization unit, which states its own cost; that of `bnn` by default."""
    by_columns: bool = False
    """Whether it skips columns of weights (a ColumnPolicy) instead of reusing neurons."""
    threshold_per_input: bool = False
    """Whether it compares each element of [x; h] with a threshold of its own, which delta units then keep."""
    tail_bits: int = 0
    """Bits of the codes through which what has not entered goes (SEMANTICS 1.4); 0 for a policy that drops it."""
    machine: str = ""
    """Name of the machine it runs on; empty for that of its kind."""

    @property
    def needs_measures(self) -> bool:
        """Whether it needs anything that `measure_scales` measures."""
        return self.needs_scales or self.needs_means

    @property
    def kind(self) -> PolicyKind:
        """Traits of the policy's kind."""
        return COLUMNS if self.by_columns else NEURONS

    @property
    def machine_name(self) -> str:
        """Name of the machine it runs on."""
        return self.machine or self.kind.machine


def declaration(policy: object) -> Declaration:
    """Return what a policy declares, with the defaults for all that it does not."""
    names = (declared.name for declared in fields(Declaration))
    return Declaration(**{name: getattr(policy, name) for name in names if hasattr(policy, name)})
