"""What components state about themselves. A listener may read facts, never schedule events."""

from __future__ import annotations

from dataclasses import dataclass

from archsim.kernels.arrays import I64


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that happened, stamped with the time it was stated."""

    at_ps: int


@dataclass(frozen=True, slots=True)
class ActionDone(Fact):
    """`count` energy-relevant actions of a component."""

    component: str
    action: str
    count: int


@dataclass(frozen=True, slots=True)
class Busy(Fact):
    """A unit works on `what` from `start_ps` to `end_ps`, which may lie ahead."""

    unit: str
    what: str
    start_ps: int
    end_ps: int


@dataclass(frozen=True, slots=True, eq=False)
class PassDone(Fact):
    """A pass over one sequence ended; its S_{t+1}, in cycles from its S_0."""

    sequence: int
    layer: int
    direction: int
    step_end_cycles: I64
