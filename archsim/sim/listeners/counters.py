"""Listeners that count: each accumulates the trace events it subscribes to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from archsim.engine.trace_events import ActionDone, PassDone, TraceEvent, TransferDone, Waited, Worked
from archsim.errors import NoSuchPassError
from archsim.kernels.arrays import I64


@dataclass
class ActionCounts:
    """Number of actions by component and action."""

    subscribes_to: ClassVar = (ActionDone,)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def __call__(self, event: TraceEvent) -> None:
        """Count an action."""
        if isinstance(event, ActionDone):
            self.counts[event.component, event.action] += event.count


@dataclass
class BytesMoved:
    """Bytes that main memory has moved."""

    subscribes_to: ClassVar = (TransferDone,)
    n_bytes: int = 0

    def __call__(self, event: TraceEvent) -> None:
        """Add up a transfer."""
        if isinstance(event, TransferDone):
            self.n_bytes += event.n_bytes


@dataclass
class UnitTimes:
    """Working and waiting times of each unit, in picoseconds."""

    subscribes_to: ClassVar = (Worked, Waited)
    worked_ps: Counter[str] = field(default_factory=Counter)
    waited_ps: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Waiting times by unit and reason."""

    def __call__(self, event: TraceEvent) -> None:
        """Add up work and waiting."""
        if isinstance(event, Worked):
            self.worked_ps[event.unit] += event.time_ps
        elif isinstance(event, Waited):
            self.waited_ps[event.unit, event.reason] += event.time_ps


@dataclass(eq=False)
class StepEnds:
    """S_{t+1} of every pass, in cycles from the pass's S_0."""

    subscribes_to: ClassVar = (PassDone,)
    ends: dict[tuple[int, int, int], I64] = field(default_factory=dict)

    def __call__(self, event: TraceEvent) -> None:
        """Record the step ends of a pass."""
        if isinstance(event, PassDone):
            self.ends[event.sequence, event.layer, event.direction] = event.step_end_cycles

    def step_end_cycles(self, sequence: int, layer: int, direction: int) -> I64:
        """Return S_{t+1} of one pass, (T,) int64, in processing order; NoSuchPassError for a pass that did not run."""
        if (sequence, layer, direction) not in self.ends:
            raise NoSuchPassError(f"no pass (sequence {sequence}, layer {layer}, direction {direction}) in this run")
        return self.ends[sequence, layer, direction].copy()


@dataclass
class PassProgress:
    """Progress of a run: calls `tick(1)` whenever a sequence ends its last pass."""

    subscribes_to: ClassVar = (PassDone,)
    last_pass: tuple[int, int]
    tick: Callable[[int], None]

    def __call__(self, event: TraceEvent) -> None:
        """Report the end of a sequence."""
        if isinstance(event, PassDone) and (event.layer, event.direction) == self.last_pass:
            self.tick(1)
