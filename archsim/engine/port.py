"""A wire with latency: what is sent arrives later, and never out of order."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import simpy

from archsim.engine.environment import Engine

T = TypeVar("T")


class Port(Generic[T]):
    """First in, first out; `get` waits for the next arrival."""

    def __init__(self, env: Engine) -> None:
        self._env = env
        self._store = simpy.Store(env)
        self._last_arrival_ps = 0

    def send(self, item: T, delay_ps: int = 0) -> None:
        """Let `item` arrive after `delay_ps`, or with the item before it if that is later."""
        arrival_ps = max(self._env.now_ps + delay_ps, self._last_arrival_ps)
        self._last_arrival_ps = arrival_ps
        # Even at once it goes through the event queue: equal times keep their order of sending there.
        self._env.timeout(arrival_ps - self._env.now_ps, item).callbacks.append(self._arrive)

    def get(self) -> Any:
        """An event whose value is the next item."""
        return self._store.get()

    def _arrive(self, event: simpy.Event) -> None:
        self._store.put(event.value)
