"""What connects the units: clocked waiting, and the credits that hold a fast unit back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator
from typing import Any

import simpy

from archsim.config.arch import ArchSpec
from archsim.engine.environment import Engine
from archsim.engine.probe import Probe
from archsim.engine.trace_events import Busy, QueueDepth, Waited, Worked
from archsim.units import Clock

Process = Generator[simpy.Event, Any, Any]

DPU = "DPU"
"""Label of a dot product unit."""
MU = "MU"
"""Name of the multi-functional unit."""
MAC = ("dpu", "mac")
"""Component and action of a multiply-accumulate of the network."""


def unit_name(gate: int, label: str) -> str:
    """Return the name of a unit in the computation unit of `gate`, by its label."""
    return f"CU{gate}.{label}"


def split_name(unit: str) -> tuple[str, str]:
    """Return the computation unit that a unit is in, and its label; an empty label for a unit that is in none."""
    computation_unit, _, label = unit.partition(".")
    return computation_unit, label


class Unit:
    """A clocked unit with a name, the machine's spec, and a probe.

    It adds up how long it works and waits, and states the sums when told to; single stretches are for pictures.
    """

    def __init__(self, env: Engine, name: str, arch: ArchSpec, probe: Probe) -> None:
        self.env, self.name, self.arch, self.probe = env, name, arch, probe
        self.clock = arch.clock
        self.worked_ps = 0
        self.waited_ps: Counter[str] = Counter()
        """By reason."""

    def cycles(self, n: int) -> simpy.Event:
        """An event `n` cycles from now."""
        return self.env.timeout(self.clock.to_ps(n))

    def count_work(self, time_ps: int, what: str, *details: object) -> None:
        """Note that the unit works for so long from now, on `what.format(*details)`."""
        self.worked_ps += time_ps
        if self.probe.wants_spans:
            start_ps, what = self.env.now_ps, what.format(*details)
            self.probe.emit(Busy, unit=self.name, what=what, start_ps=start_ps, end_ps=start_ps + time_ps)

    def count_wait(self, reason: str, since_ps: int) -> None:
        """Note that the unit has waited since then, if it has."""
        now_ps = self.env.now_ps
        if now_ps > since_ps:
            self.waited_ps[reason] += now_ps - since_ps

    def wait_for(self, event: simpy.Event, reason: str) -> Process:
        """Wait for an event, and note how long."""
        since_ps = self.env.now_ps
        value = yield event
        self.count_wait(reason, since_ps)
        return value

    def emit_times(self) -> None:
        """State for how long the unit has worked and waited since this was last stated."""
        self.probe.emit(Worked, unit=self.name, time_ps=self.worked_ps)
        for reason, time_ps in self.waited_ps.items():
            self.probe.emit(Waited, unit=self.name, reason=reason, time_ps=time_ps)
        self.worked_ps = 0
        self.waited_ps.clear()


def emit_span(probe: Probe, clock: Clock, unit: str, what: str, start_ps: int, begin: int, end: int) -> None:
    """State that a unit is busy from one cycle to another, counted from `start_ps`."""
    begin_ps, end_ps = start_ps + clock.to_ps(begin), start_ps + clock.to_ps(end)
    probe.emit(Busy, unit=unit, what=what, start_ps=begin_ps, end_ps=end_ps)


def wait_until_stable(env: Engine, clock: Clock, end_of: Callable[[], int]) -> Process:
    """Wait until the cycle `end_of` names; whoever has the right of way may come meanwhile, so then look again."""
    end = 0
    while (later := end_of()) > end:
        end = later
        yield env.timeout(clock.to_ps(end) - env.now_ps)


class Credits:
    """A fixed number of places: the one sender takes one before it sends, and the receiver gives it back.

    Taking and giving are no events; only waiting for a place is one.
    """

    def __init__(self, env: Engine, places: int, queue: str, probe: Probe) -> None:
        self._env, self._queue, self._probe = env, queue, probe
        self._places = self.free = places
        self._awaited: simpy.Event | None = None

    def returned(self) -> simpy.Event:
        """An event as the next place is given back; to be waited for where none is `free`."""
        self._awaited = self._env.event()
        return self._awaited

    def take(self) -> None:
        """Take a place, of which there are some."""
        self.free -= 1
        if self._probe.wants_spans:
            self._emit_depth()

    def give(self) -> None:
        """Return a place."""
        self.free += 1
        if self._awaited is not None:
            self._env.trigger(self._awaited)
            self._awaited = None
        if self._probe.wants_spans:
            self._emit_depth()

    def _emit_depth(self) -> None:
        self._probe.emit(QueueDepth, queue=self._queue, depth=self._places - self.free)
