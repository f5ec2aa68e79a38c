"""The event loop: SimPy with integer time, counting what it processes."""

from __future__ import annotations

from heapq import heappush

import simpy
from simpy.events import NORMAL, EventPriority

FOREVER_PS = 1 << 60
LAST = EventPriority(2)
"""After SimPy's URGENT (0) and NORMAL (1)."""


class Engine(simpy.Environment):
    """A SimPy environment whose time is an integer number of picoseconds."""

    _now: int

    def __init__(self) -> None:
        super().__init__(initial_time=0)
        self._scheduled = 0

    def schedule(self, event: simpy.Event, priority: EventPriority = NORMAL, delay: float = 0) -> None:
        """Let an event be processed after `delay`; of one time and priority they keep the order they come in."""
        # In SimPy's place, not around it: numbering is all the counting there is, and costs nothing.
        self._scheduled += 1
        heappush(self._queue, (self._now + delay, priority, self._scheduled, event))

    def trigger(self, event: simpy.Event, delay_ps: int = 0, priority: EventPriority = NORMAL) -> None:
        """Let an event, not yet triggered, happen after `delay_ps`."""
        event._ok, event._value = True, None
        self.schedule(event, priority, delay_ps)

    def end_of_instant(self) -> simpy.Event:
        """An event of the present time, after all others of it, those still to come included."""
        event = self.event()
        self.trigger(event, priority=LAST)
        return event

    @property
    def processed_events(self) -> int:
        """Events scheduled so far, less those still to come."""
        return self._scheduled - len(self._queue)

    @property
    def now_ps(self) -> int:
        """The present, in picoseconds."""
        return self._now

    @property
    def peek_ps(self) -> int:
        """When the next event is due; a very late moment if there is none."""
        due = self.peek()
        return FOREVER_PS if due == simpy.core.Infinity else int(due)
