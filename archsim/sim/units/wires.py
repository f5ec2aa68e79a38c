"""What connects the units: clocked waiting, and the credits that hold a fast unit back."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import simpy

from archsim.config.specs import ArchSpec
from archsim.engine.environment import Engine
from archsim.engine.facts import Busy, QueueDepth, Waited, Worked
from archsim.engine.probe import Probe
from archsim.units import Clock

Process = Generator[simpy.Event, Any, Any]


class Unit:
    """A clocked unit with a name, the machine's spec, and a probe."""

    def __init__(self, env: Engine, name: str, arch: ArchSpec, probe: Probe) -> None:
        self.env, self.name, self.arch, self.probe = env, name, arch, probe

    def cycles(self, n: int) -> simpy.Event:
        """An event `n` cycles from now."""
        return self.env.timeout(self.arch.clock.to_ps(n))

    def emit_work(self, what: str, n_cycles: int) -> None:
        """State that the unit works for `n_cycles` from now."""
        now_ps, time_ps = self.env.now_ps, self.arch.clock.to_ps(n_cycles)
        self.probe.emit(Busy, unit=self.name, what=what, start_ps=now_ps, end_ps=now_ps + time_ps)
        self.probe.emit(Worked, unit=self.name, time_ps=time_ps)

    def emit_wait(self, reason: str, since_ps: int) -> None:
        """State that the unit has waited since then, if it has."""
        if self.env.now_ps > since_ps:
            self.probe.emit(Waited, unit=self.name, reason=reason, time_ps=self.env.now_ps - since_ps)


def emit_span(probe: Probe, clock: Clock, unit: str, what: str, start_ps: int, begin: int, end: int) -> None:
    """State that a unit is busy from one cycle to another, counted from `start_ps`."""
    span = {"start_ps": start_ps + clock.to_ps(begin), "end_ps": start_ps + clock.to_ps(end)}
    probe.emit(Busy, unit=unit, what=what, **span)


def settle(env: Engine, clock: Clock, end_of: Callable[[], int]) -> Process:
    """Wait until the cycle `end_of` names; whoever has the right of way may come meanwhile, so then look again."""
    end = 0
    while (later := end_of()) > end:
        end = later
        yield env.timeout(clock.to_ps(end) - env.now_ps)


class Credits:
    """A fixed number of places: one is taken before sending, and given back by the receiver."""

    def __init__(self, env: Engine, places: int, queue: str, probe: Probe) -> None:
        self._container = simpy.Container(env, capacity=places, init=places)
        self._queue, self._probe = queue, probe

    def take(self) -> Process:
        """Wait until a place is free, and take it."""
        yield self._container.get(1)
        self._state_depth()

    def give(self) -> None:
        """Return a place."""
        self._container.put(1)
        self._state_depth()

    def _state_depth(self) -> None:
        if self._probe.draws:
            self._probe.emit(QueueDepth, queue=self._queue, depth=self._container.capacity - self._container.level)
