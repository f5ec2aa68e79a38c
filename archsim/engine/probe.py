"""Distribution of trace events: components emit them, subscribed listeners receive them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Concatenate, ParamSpec

from archsim.engine.environment import Engine
from archsim.engine.trace_events import TraceEvent

Details = ParamSpec("Details")
Listener = Callable[[TraceEvent], None]
EventType = Callable[Concatenate[int, Details], TraceEvent]
"""A class of events, called with the present time and the event's other fields."""


class Probe:
    """Passes each event to the listeners subscribed to its type, in the order of the listeners.

    A listener subscribes by an attribute `subscribes_to`, a tuple of event types; one without it receives all events.
    No event is constructed unless a listener subscribes to it.
    """

    def __init__(self, env: Engine, listeners: Iterable[Listener] = ()) -> None:
        self._env = env
        self._listeners = tuple(listeners)
        self._subscribers: dict[object, tuple[Listener, ...]] = {}
        self.wants_spans = any(getattr(listener, "wants_spans", False) for listener in self._listeners)
        """Whether a listener wants a span of every unit in every step."""

    def emit(self, event_type: EventType[Details], /, *args: Details.args, **details: Details.kwargs) -> None:
        """Pass a new event to its subscribers, stamped with the present time."""
        subscribers = self._subscribers.get(event_type)
        if subscribers is None:
            subscribers = self._subscribers[event_type] = self._subscribers_of(event_type)
        if subscribers:
            event = event_type(self._env.now_ps, *args, **details)
            for listener in subscribers:
                listener(event)

    def _subscribers_of(self, event_type: object) -> tuple[Listener, ...]:
        assert isinstance(event_type, type)
        wanted = ((listener, getattr(listener, "subscribes_to", (TraceEvent,))) for listener in self._listeners)
        return tuple(listener for listener, types in wanted if issubclass(event_type, tuple(types)))
