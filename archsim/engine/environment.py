"""The event loop: SimPy with integer time, counting what it processes."""

from __future__ import annotations

import simpy

FOREVER_PS = 1 << 60
LAST = simpy.events.EventPriority(2)
"""After SimPy's URGENT (0) and NORMAL (1)."""


class Engine(simpy.Environment):
    """A SimPy environment whose time is an integer number of picoseconds."""

    def __init__(self) -> None:
        super().__init__(initial_time=0)
        self.processed_events = 0

    def step(self) -> None:
        """Process the next event."""
        self.processed_events += 1
        super().step()

    def end_of_instant(self) -> simpy.Event:
        """An event of the present time, after all others of it, those still to come included."""
        event = self.event()
        event._ok, event._value = True, None
        self.schedule(event, priority=LAST)
        return event

    @property
    def now_ps(self) -> int:
        """The present, in picoseconds."""
        return int(self.now)

    @property
    def peek_ps(self) -> int:
        """When the next event is due; a very late moment if there is none."""
        due = self.peek()
        return FOREVER_PS if due == simpy.core.Infinity else int(due)
