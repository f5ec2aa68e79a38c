"""Where facts go: components emit, whoever cares listens."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from archsim.engine.environment import Engine
from archsim.engine.trace_events import TraceEvent

Listener = Callable[[TraceEvent], None]


class Probe:
    """Hands each fact to those who hear its kind: all of them, unless a listener has `hears`, a tuple of kinds.

    A fact that nobody hears is not even made.
    """

    def __init__(self, env: Engine, listeners: Iterable[Listener] = ()) -> None:
        self._env = env
        self._listeners = tuple(listeners)
        self._hearers: dict[type[TraceEvent], tuple[Listener, ...]] = {}
        self.wants_spans = any(getattr(listener, "wants_spans", False) for listener in self._listeners)
        """Whether a listener wants a span of every unit in every step."""

    def emit(self, fact_type: type[TraceEvent], /, **details: object) -> None:
        """State a fact, stamped with the present."""
        hearers = self._hearers.get(fact_type)
        if hearers is None:
            hearers = self._hearers[fact_type] = tuple(filter(partial(_hears, fact_type), self._listeners))
        if hearers:
            fact = fact_type(at_ps=self._env.now_ps, **details)
            for listener in hearers:
                listener(fact)


def _hears(fact_type: type[TraceEvent], listener: Listener) -> bool:
    return issubclass(fact_type, tuple(getattr(listener, "subscribes_to", (TraceEvent,))))
