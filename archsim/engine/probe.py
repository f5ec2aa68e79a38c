"""Where facts go: components emit, whoever cares listens."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from archsim.engine.environment import Engine
from archsim.engine.facts import Fact

Listener = Callable[[Fact], None]


class Probe:
    """Hands each fact to every listener; costs next to nothing where there is none."""

    def __init__(self, env: Engine, listeners: Iterable[Listener] = ()) -> None:
        self._env = env
        self._listeners = tuple(listeners)
        self.draws = any(getattr(listener, "draws", False) for listener in self._listeners)
        """Whether a listener wants a span of every unit in every step."""

    def emit(self, fact_type: type[Fact], /, **details: object) -> None:
        """State a fact, stamped with the present."""
        if not self._listeners:
            return
        fact = fact_type(at_ps=self._env.now_ps, **details)
        for listener in self._listeners:
            listener(fact)
