"""Base of all units: clocked waiting, time spent working and waiting, and credits that hold a fast unit back."""

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

ProcessGenerator = Generator[simpy.Event, Any, Any]

DPU = "DPU"
"""Label of a dot product unit."""
MU = "MU"
"""Name of the multi-functional unit."""
MAC = ("dpu", "mac")
"""Component and action of a multiply-accumulate of the network."""


def unit_name(gate: int, label: str) -> str:
    """Return the name of a unit in the computation unit of `gate`, by its label."""
    return f"CU{gate}.{label}"


def split_unit_name(unit: str) -> tuple[str, str]:
    """Return (computation unit, label) of a unit by its name; (own name, "") for a unit in none."""
    computation_unit, _, label = unit.partition(".")
    return computation_unit, label


class Unit:
    """Clocked unit with a name, the machine's configuration, and a probe.

    A unit adds up how long it works and waits, and emits the sums once per step. Each span is emitted too if a
    listener wants spans.
    """

    def __init__(self, env: Engine, name: str, arch: ArchSpec, probe: Probe) -> None:
        self.env = env
        self.name = name
        self.arch = arch
        self.probe = probe
        self.clock = arch.clock
        self.worked_ps = 0
        self.waited_ps: Counter[str] = Counter()
        """Time waited, by reason."""

    def cycles(self, n: int) -> simpy.Event:
        """Return an event that fires `n` cycles from now."""
        return self.env.timeout(self.clock.to_ps(n))

    def count_work(self, time_ps: int, template: str, *details: object) -> None:
        """Add work that begins now and takes `time_ps`; a span of it is named `template.format(*details)`."""
        self.worked_ps += time_ps
        if self.probe.wants_spans:
            start_ps, what = self.env.now_ps, template.format(*details)
            self.probe.emit(Busy, unit=self.name, what=what, start_ps=start_ps, end_ps=start_ps + time_ps)

    def count_wait(self, reason: str, since_ps: int) -> None:
        """Add the wait since `since_ps`, if there was one."""
        now_ps = self.env.now_ps
        if now_ps > since_ps:
            self.waited_ps[reason] += now_ps - since_ps

    def wait_for(self, event: simpy.Event, reason: str) -> ProcessGenerator:
        """Wait for an event, add the wait, and return the event's value."""
        since_ps = self.env.now_ps
        value = yield event
        self.count_wait(reason, since_ps)
        return value

    def emit_times(self) -> None:
        """Emit the times worked and waited since the last call."""
        self.probe.emit(Worked, unit=self.name, time_ps=self.worked_ps)
        for reason, time_ps in self.waited_ps.items():
            self.probe.emit(Waited, unit=self.name, reason=reason, time_ps=time_ps)
        self.worked_ps = 0
        self.waited_ps.clear()


def emit_span(probe: Probe, clock: Clock, unit: str, what: str, start_ps: int, begin: int, end: int) -> None:
    """Emit that a unit is busy between two cycles, counted from `start_ps`."""
    begin_ps, end_ps = start_ps + clock.to_ps(begin), start_ps + clock.to_ps(end)
    probe.emit(Busy, unit=unit, what=what, start_ps=begin_ps, end_ps=end_ps)


def wait_until_stable(env: Engine, clock: Clock, end_of: Callable[[], int]) -> ProcessGenerator:
    """Wait until the cycle that `end_of()` returns; ask again then, because higher-priority accesses may move it."""
    end = 0
    while (new_end := end_of()) > end:
        end = new_end
        yield env.timeout(clock.to_ps(end) - env.now_ps)


class Credits:
    """Credits for the slots of a queue. The only sender takes a credit before it sends; the receiver gives it back.

    Taking and giving schedule no event; only waiting for a credit does.
    """

    def __init__(self, env: Engine, n_slots: int, queue: str, probe: Probe) -> None:
        self._env = env
        self._queue = queue
        self._probe = probe
        self._n_slots = n_slots
        self.n_free = n_slots
        self._awaited: simpy.Event | None = None

    def next_return(self) -> simpy.Event:
        """Return the event of the next `give()`; wait on it only if no credit is free, and `take()` one afterwards."""
        self._awaited = self._env.event()
        return self._awaited

    def take(self) -> None:
        """Take a credit; at least one must be free."""
        self.n_free -= 1
        if self._probe.wants_spans:
            self._emit_depth()

    def give(self) -> None:
        """Give a credit back."""
        self.n_free += 1
        if self._awaited is not None:
            self._env.trigger(self._awaited)
            self._awaited = None
        if self._probe.wants_spans:
            self._emit_depth()

    def _emit_depth(self) -> None:
        self._probe.emit(QueueDepth, queue=self._queue, depth=self._n_slots - self.n_free)
