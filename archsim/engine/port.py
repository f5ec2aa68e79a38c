"""A wire with latency: what is sent arrives later, and never out of order."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from typing import Generic, TypeVar

import simpy

from archsim.engine.environment import Engine

T = TypeVar("T")


class Port(Generic[T]):
    """First in, first out, from any number of senders to one receiver.

    What has arrived is taken without an event; only waiting for what has not takes one.
    """

    def __init__(self, env: Engine) -> None:
        self._env = env
        self._items: deque[tuple[int, T]] = deque()
        """When each arrives, and what it is."""
        self._last_arrival_ps = 0
        self._awaited: simpy.Event | None = None

    def send(self, item: T, delay_ps: int = 0) -> None:
        """Let `item` arrive after `delay_ps`, or with the item before it if that is later."""
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
        """Whether there is an item to take."""
        return bool(self._items) and self._items[0][0] <= self._env.now_ps

    def arrival(self) -> simpy.Event:
        """An event at the next item's arrival, at once if it has arrived."""
        if self._items:
            return self._env.timeout(max(0, self._items[0][0] - self._env.now_ps))
        self._awaited = self._env.event()
        return self._awaited

    def take(self) -> T:
        """The next item, which has arrived."""
        return self._items.popleft()[1]

    def get(self) -> Generator[simpy.Event, None, T]:
        """Wait until the next item has arrived, and take it."""
        if not self.has_arrived:
            yield self.arrival()
        return self.take()
