"""What components state about themselves. A listener may read facts, never schedule events."""

from __future__ import annotations

from dataclasses import dataclass

from archsim.kernels.arrays import I64


@dataclass(frozen=True, slots=True)
class TraceEvent:
    """Something that happened, stamped with the time it was stated."""

    at_ps: int


@dataclass(frozen=True, slots=True)
class ActionDone(TraceEvent):
    """`count` energy-relevant actions of a component."""

    component: str
    action: str
    count: int


@dataclass(frozen=True, slots=True)
class Busy(TraceEvent):
    """A unit is about `what` from `start_ps` to `end_ps`, which may lie ahead; for pictures."""

    unit: str
    what: str
    start_ps: int
    end_ps: int


@dataclass(frozen=True, slots=True, eq=False)
class PassDone(TraceEvent):
    """A pass over one sequence ended; its S_{t+1}, in cycles from its S_0."""

    sequence: int
    layer: int
    direction: int
    step_end_cycles: I64


@dataclass(frozen=True, slots=True)
class TransferDone(TraceEvent):
    """Main memory has moved `n_bytes` between `start_ps` and `end_ps`."""

    what: str
    n_bytes: int
    write: bool
    start_ps: int
    end_ps: int


@dataclass(frozen=True, slots=True)
class StepDone(TraceEvent):
    """A step ran from `start_ps` to `end_ps`, reusing some neurons or skipping some columns; for pictures."""

    what: str
    saving: str
    """`reuse`, or `columns skipped`."""
    saved: int
    of: int
    start_ps: int
    end_ps: int


@dataclass(frozen=True, slots=True)
class QueueDepth(TraceEvent):
    """So many places of a queue between two units are taken from now on; for pictures."""

    queue: str
    depth: int


@dataclass(frozen=True, slots=True)
class Worked(TraceEvent):
    """A unit has worked, or will have, for so long; not necessarily at a stretch."""

    unit: str
    time_ps: int


@dataclass(frozen=True, slots=True)
class Waited(TraceEvent):
    """A unit, or the whole machine, has waited this long for something."""

    unit: str
    reason: str
    time_ps: int
