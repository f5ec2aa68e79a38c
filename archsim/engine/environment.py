"""The event loop: SimPy with integer time and a count of its events."""

from __future__ import annotations

from heapq import heappush

import simpy
from simpy.events import NORMAL, EventPriority

FOREVER_PS = 1 << 60
"""Time later than any event of a simulation; equals NEVER of archsim/kernels/dram, to which such times are passed."""
LAST = EventPriority(2)
"""Priority after SimPy's URGENT (0) and NORMAL (1)."""


class Engine(simpy.Environment):
    """A SimPy environment whose time is an integer number of picoseconds."""

    _now: int

    def __init__(self) -> None:
        super().__init__(initial_time=0)
        self._scheduled = 0

    def schedule(self, event: simpy.Event, priority: EventPriority = NORMAL, delay: float = 0) -> None:
        """Schedule an event after `delay`; events of equal time and priority keep their order."""
        # This replaces SimPy's method instead of calling it, so that its numbering of events also counts them for free.
        self._scheduled += 1
        heappush(self._queue, (self._now + delay, priority, self._scheduled, event))

    def trigger(self, event: simpy.Event, delay_ps: int = 0, priority: EventPriority = NORMAL) -> None:
        """Let an event happen `delay_ps` from now; it must not have been triggered before."""
        event._ok = True
        event._value = None
        self.schedule(event, priority, delay_ps)

    def end_of_instant(self) -> simpy.Event:
        """Return an event that happens now, after all others of this instant, later ones included."""
        event = self.event()
        self.trigger(event, priority=LAST)
        return event

    @property
    def processed_events(self) -> int:
        """Number of events processed so far."""
        return self._scheduled - len(self._queue)

    @property
    def now_ps(self) -> int:
        """Present time in picoseconds."""
        return self._now

    @property
    def peek_ps(self) -> int:
        """Time of the next event, `FOREVER_PS` if there is none."""
        due = self.peek()
        return FOREVER_PS if due == simpy.core.Infinity else int(due)
