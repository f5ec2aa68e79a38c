"""Main memory: transfers contend for channels, banks and rows.

The process sleeps from one column command to the next. Where nothing else is due before then it serves ahead: up
to the next event of the simulation, for what has not been asked for yet cannot come sooner.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

import numpy as np
import simpy

from archsim.config.dram import DramSpec
from archsim.engine.environment import Engine
from archsim.engine.probe import Probe
from archsim.engine.trace_events import ActionDone, TransferDone
from archsim.kernels.arrays import I64
from archsim.kernels.dram.channel import COUNTS, COUNTS_FROM, NEVER, DramTimes
from archsim.kernels.dram.frfcfs import advance, catch_up
from archsim.kernels.dram.requests import FINISH_PS, NO_PORT, Memory, idle_memory, submit
from archsim.sim.units.unit import Process


class Requester(IntEnum):
    """Who asks; computation units, for rows of their gate, come before by their number."""

    WEIGHTS = 1 << 16
    INPUTS = WEIGHTS + 1
    OUTPUTS = WEIGHTS + 2
    SPILLS = WEIGHTS + 3
    HEAD = WEIGHTS + 4


@dataclass(frozen=True)
class FillPorts:
    """The weight buffers' write ports: so many, of so many bytes a cycle."""

    number: int
    word_bytes: int
    period_ps: int


@dataclass(frozen=True)
class FillTarget:
    """Where a fill goes: so many bytes to each computation unit from unit `first` on."""

    first: int
    each_bytes: int


@dataclass(frozen=True)
class Transfer:
    """A transfer under way."""

    what: str
    n_bytes: int
    write: bool
    start_ps: int
    done: simpy.Event


class CoSimulated(Protocol):
    """Something that runs in step with the memory: it asks for data as it goes, and waits for them."""

    def advance(self, memory: Memory, times: DramTimes, until_ps: int, finished: I64) -> tuple[int, int]:
        """Go on, memory and all, up to `until_ps`; how many are `finished`, and when to be called again."""


class MainMemory:
    """LPDDR4 behind a first-ready-first-come scheduler per channel."""

    def __init__(self, env: Engine, spec: DramSpec, probe: Probe, *, ports: FillPorts, n_transfers: int = 16) -> None:
        self.env, self.probe = env, probe
        self.times = dram_times(spec)
        self.memory = idle_memory(
            self.times,
            n_transfers=n_transfers,
            ports=ports.number,
            period_ps=ports.period_ps,
            word_bytes=ports.word_bytes,
        )
        self.coupled: CoSimulated | None = None
        self._free = list(range(n_transfers - 1, -1, -1))
        self._under_way: dict[int, Transfer] = {}
        self._finished = np.zeros(n_transfers, np.int64)
        self._asked = 0
        self._call = env.event()
        env.process(self._run())

    def transfer(
        self,
        address_bytes: int,
        n_bytes: int,
        *,
        what: str,
        write: bool = False,
        requester: int,
        target: FillTarget | None = None,
    ) -> simpy.Event:
        """Start a transfer; the event fires when its last byte has arrived, or is written where it lands.

        Of transfers that start in the same memory cycle the one of the smaller `requester` is the older.
        """
        now_ps, number = self.env.now_ps, self._free.pop()
        self._asked += 1
        port, port_bytes = (target.first, target.each_bytes) if target else (NO_PORT, 0)
        order = (requester << 40) + self._asked
        submit(self.memory, self.times, number, address_bytes, n_bytes, write, now_ps, order, port, port_bytes)
        done = self.env.event()
        self._under_way[number] = Transfer(what, n_bytes, write, now_ps, done)
        _answer(self._call)
        return done

    def co_simulate(self, coupled: CoSimulated) -> None:
        """Let something run in step with the memory from now on."""
        self.coupled = coupled
        _answer(self._call)

    def end_co_simulation(self, numbers: I64) -> None:
        """End that; the numbers it had reserved are free again."""
        self.coupled = None
        self._free.extend(numbers.ravel().tolist())

    def reserve_transfers(self, n: int) -> I64:
        """Take `n` numbers of transfers, for what is coupled to use as its own."""
        return np.array([self._free.pop() for _ in range(n)], np.int64)

    def close(self) -> None:
        """State what the memory did, up to now."""
        catch_up(self.memory, self.times, self.env.now_ps)
        for action, count in zip(COUNTS, self.memory.channels.buses[:, COUNTS_FROM:].sum(axis=0).tolist(), strict=True):
            self.probe.emit(ActionDone, component="dram", action=action, count=count)

    def _run(self) -> Process:
        while True:
            self._call = self.env.event()
            wake_ps = self._serve_ahead()
            if wake_ps < NEVER:
                self._ring_at(wake_ps)
            yield self._call

    def _serve_ahead(self) -> int:
        """Serve up to the next event of the simulation; return when the next column command is due."""
        while True:
            coupled = self.coupled
            step = coupled.advance if coupled else advance
            n_finished, wake_ps = step(self.memory, self.times, self.env.peek_ps, self._finished)
            for number in self._finished[:n_finished].tolist():
                self._finish(number)
            if coupled is self.coupled:
                return wake_ps

    def _ring_at(self, time_ps: int) -> None:
        call = self._call
        alarm = self.env.timeout(max(time_ps - self.env.now_ps, 0))
        alarm.callbacks.append(lambda _: _answer(call))

    def _finish(self, number: int) -> None:
        transfer = self._under_way.pop(number)
        arrival_ps = int(self.memory.transfers[number, FINISH_PS])
        self._free.append(number)
        self.env.timeout(arrival_ps - self.env.now_ps).callbacks.append(self._teller(transfer))

    def _teller(self, transfer: Transfer) -> Callable[[simpy.Event], None]:
        def tell(_: simpy.Event) -> None:
            self.probe.emit(
                TransferDone,
                what=transfer.what,
                n_bytes=transfer.n_bytes,
                write=transfer.write,
                start_ps=transfer.start_ps,
                end_ps=self.env.now_ps,
            )
            transfer.done.succeed()

        return tell


def _answer(call: simpy.Event) -> None:
    """Let the process look at what has changed."""
    if not call.triggered:
        call.succeed()


def dram_times(spec: DramSpec) -> DramTimes:
    """A memory's shape and timing as the kernels take them."""
    same = {name: getattr(spec, f"{name}_cycles") for name in DramTimes._fields if hasattr(spec, f"{name}_cycles")}
    shape = {name: getattr(spec, name) for name in DramTimes._fields if hasattr(spec, name)}
    return DramTimes(**shape, **same, cycle_ps=spec.clock_period_ps)
