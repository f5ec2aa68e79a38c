"""Trace events: what components report about themselves. Listeners may read them, but schedule nothing."""

from __future__ import annotations

from dataclasses import dataclass

from archsim.kernels.arrays import I64


@dataclass(frozen=True, slots=True)
class TraceEvent:
    """A report by a component, stamped with the time at which it was emitted."""

    at_ps: int


@dataclass(frozen=True, slots=True)
class ActionDone(TraceEvent):
    """A number of equal actions of a component that cost energy."""

    component: str
    action: str
    count: int


@dataclass(frozen=True, slots=True)
class Busy(TraceEvent):
    """A span in which a unit does `what`, for pictures; `end_ps` may lie ahead, as work is reported when it begins."""

    unit: str
    what: str
    start_ps: int
    end_ps: int


@dataclass(frozen=True, slots=True, eq=False)
class PassDone(TraceEvent):
    """The end of a pass over one sequence, with its S_{t+1} in cycles from its S_0."""

    sequence: int
    layer: int
    direction: int
    step_end_cycles: I64


@dataclass(frozen=True, slots=True)
class TransferDone(TraceEvent):
    """A finished transfer of main memory."""

    what: str
    n_bytes: int
    write: bool
    start_ps: int
    end_ps: int


@dataclass(frozen=True, slots=True)
class StepDone(TraceEvent):
    """A finished step, with the neurons reused or columns skipped in it, for pictures."""

    what: str
    saving: str
    """Kind of saving: `reuse`, or `columns skipped`."""
    saved: int
    of: int
    start_ps: int
    end_ps: int


@dataclass(frozen=True, slots=True)
class QueueDepth(TraceEvent):
    """Number of slots taken in a queue between two units from now on, for pictures."""

    queue: str
    depth: int


@dataclass(frozen=True, slots=True)
class Worked(TraceEvent):
    """Time that a unit has worked or is about to work, in one stretch or several."""

    unit: str
    time_ps: int


@dataclass(frozen=True, slots=True)
class Waited(TraceEvent):
    """Time that a unit, or the whole machine, has waited for one reason."""

    unit: str
    reason: str
    time_ps: int
