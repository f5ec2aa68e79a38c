"""Recorders: callables that take facts and keep what their name says."""

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
    """How often each component did each action."""

    subscribes_to: ClassVar = (ActionDone,)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def __call__(self, fact: TraceEvent) -> None:
        """Count an action."""
        if isinstance(fact, ActionDone):
            self.counts[fact.component, fact.action] += fact.count


@dataclass
class BytesMoved:
    """What main memory has been asked for and has served."""

    subscribes_to: ClassVar = (TransferDone,)
    n_bytes: int = 0

    def __call__(self, fact: TraceEvent) -> None:
        """Add up a transfer."""
        if isinstance(fact, TransferDone):
            self.n_bytes += fact.n_bytes


@dataclass
class UnitTimes:
    """How long each unit worked, and how long it waited for what, in picoseconds."""

    subscribes_to: ClassVar = (Worked, Waited)
    worked_ps: Counter[str] = field(default_factory=Counter)
    waited_ps: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By unit and reason."""

    def __call__(self, fact: TraceEvent) -> None:
        """Add up work and waiting."""
        if isinstance(fact, Worked):
            self.worked_ps[fact.unit] += fact.time_ps
        elif isinstance(fact, Waited):
            self.waited_ps[fact.unit, fact.reason] += fact.time_ps


@dataclass(eq=False)
class StepEnds:
    """S_{t+1} of every pass, in cycles from the pass's S_0."""

    subscribes_to: ClassVar = (PassDone,)
    ends: dict[tuple[int, int, int], I64] = field(default_factory=dict)

    def __call__(self, fact: TraceEvent) -> None:
        """Keep a pass's step ends."""
        if isinstance(fact, PassDone):
            self.ends[fact.sequence, fact.layer, fact.direction] = fact.step_end_cycles

    def step_end_cycles(self, sequence: int, layer: int, direction: int) -> I64:
        """S_{t+1} of one pass, (T,) int64, in processing order."""
        if (sequence, layer, direction) not in self.ends:
            raise NoSuchPassError(f"no pass (sequence {sequence}, layer {layer}, direction {direction}) in this run")
        return self.ends[sequence, layer, direction].copy()


@dataclass
class PassProgress:
    """Tells someone that a sequence is through its last pass."""

    subscribes_to: ClassVar = (PassDone,)
    last_pass: tuple[int, int]
    tick: Callable[[int], None]

    def __call__(self, fact: TraceEvent) -> None:
        """Tick at the end of a sequence."""
        if isinstance(fact, PassDone) and (fact.layer, fact.direction) == self.last_pass:
            self.tick(1)
