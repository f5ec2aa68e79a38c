"""A link between units: items arrive after a latency, and never out of order."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from typing import Generic, TypeVar

import simpy

from archsim.engine.environment import Engine

T = TypeVar("T")


class Port(Generic[T]):
    """First-in-first-out link from any number of senders to one receiver.

    Taking an arrived item schedules no event; only waiting does.
    """

    def __init__(self, env: Engine) -> None:
        self._env = env
        self._items: deque[tuple[int, T]] = deque()
        """Arrival time and item, in order of arrival."""
        self._last_arrival_ps = 0
        self._awaited: simpy.Event | None = None

    def send(self, item: T, delay_ps: int = 0) -> None:
        """Send an item that arrives after `delay_ps`, or with the item before it if that is later."""
        now_ps = self._env.now_ps
        arrival_ps = now_ps + delay_ps
        if arrival_ps < self._last_arrival_ps:
            arrival_ps = self._last_arrival_ps
        self._last_arrival_ps = arrival_ps
        self._items.append((arrival_ps, item))
        if self._awaited is not None:
            self._env.trigger(self._awaited, arrival_ps - now_ps)
            self._awaited = None

    @property
    def has_arrived(self) -> bool:
        """Whether an item can be taken."""
        return bool(self._items) and self._items[0][0] <= self._env.now_ps

    def arrival(self) -> simpy.Event:
        """Return an event at the arrival of the next item, which is now if it has arrived."""
        if self._items:
            return self._env.timeout(max(0, self._items[0][0] - self._env.now_ps))
        self._awaited = self._env.event()
        return self._awaited

    def take(self) -> T:
        """Take the next item, which must have arrived."""
        return self._items.popleft()[1]

    def get(self) -> Generator[simpy.Event, None, T]:
        """Wait for the next item, and take it."""
        if not self.has_arrived:
            yield self.arrival()
        return self.take()
