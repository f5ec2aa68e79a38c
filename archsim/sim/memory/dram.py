"""Main memory: transfers contend for channels, banks and rows.

Its process sleeps from one column command to the next, because a transfer submitted before then may be served first.
It serves ahead up to the next event of the simulation, because no transfer can be submitted before that event.
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
from archsim.kernels.dram.requests import FINISH_PS, NO_PORT, ORDER_SHIFT, Memory, idle_memory, submit
from archsim.sim.units.unit import ProcessGenerator

DRAM = "dram"
"""Component name of main memory."""
DRAM_LABEL = "DRAM"
"""Name of main memory in tables and timelines."""


class Requester(IntEnum):
    """Requester ids, also the priority (lower first); row fetches use the number of their computation unit."""

    WEIGHTS = 1 << 16
    INPUTS = WEIGHTS + 1
    OUTPUTS = WEIGHTS + 2
    SPILLS = WEIGHTS + 3
    HEAD = WEIGHTS + 4


@dataclass(frozen=True)
class FillPorts:
    """Write ports of the weight buffers, one per computation unit."""

    number: int
    word_bytes: int
    """Bytes written per cycle."""
    period_ps: int


@dataclass(frozen=True)
class FillTarget:
    """Target of a fill: `each_bytes` for every computation unit from unit `first` on."""

    first: int
    each_bytes: int


@dataclass(frozen=True)
class Transfer:
    """A transfer in flight."""

    what: str
    n_bytes: int
    write: bool
    start_ps: int
    done: simpy.Event


class CoSimulated(Protocol):
    """A model that is simulated together with the memory, because it submits requests and waits for their data."""

    def advance(self, dram_state: Memory, dram_times: DramTimes, until_ps: int, finished: I64) -> tuple[int, int]:
        """Advance model and memory up to `until_ps`.

        Writes the finished transfers of others to `finished`; returns their number and the time of the next call.
        """


class MainMemory:
    """LPDDR4 channels, each behind an FR-FCFS scheduler."""

    def __init__(self, env: Engine, spec: DramSpec, probe: Probe, *, ports: FillPorts, n_transfers: int = 16) -> None:
        self.env = env
        self.probe = probe
        self.times = dram_times(spec)
        self.memory = idle_memory(
            self.times,
            n_transfers=n_transfers,
            ports=ports.number,
            period_ps=ports.period_ps,
            word_bytes=ports.word_bytes,
        )
        self.co_simulated: CoSimulated | None = None
        self._free_ids = list(range(n_transfers - 1, -1, -1))
        self._in_flight: dict[int, Transfer] = {}
        self._finished = np.zeros(n_transfers, np.int64)
        self._n_submitted = 0
        self._wake_up = env.event()
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
        """Start a transfer; the event fires when its last byte has arrived, or is written to its target.

        Of transfers that start in the same memory cycle the one of the smaller `requester` is the older.
        """
        now_ps, transfer_id = self.env.now_ps, self._free_ids.pop()
        self._n_submitted += 1
        port, port_bytes = (target.first, target.each_bytes) if target else (NO_PORT, 0)
        # The two details submit in different orders within a cycle, so the requester counts before the submission.
        order = (requester << ORDER_SHIFT) + self._n_submitted
        submit(self.memory, self.times, transfer_id, address_bytes, n_bytes, write, now_ps, order, port, port_bytes)
        done = self.env.event()
        self._in_flight[transfer_id] = Transfer(what, n_bytes, write, now_ps, done)
        _wake(self._wake_up)
        return done

    def co_simulate(self, model: CoSimulated) -> None:
        """Advance a model together with the memory from now on."""
        self.co_simulated = model
        _wake(self._wake_up)

    def end_co_simulation(self, transfer_ids: I64) -> None:
        """Stop advancing the model, and free the ids it had reserved."""
        self.co_simulated = None
        self._free_ids.extend(transfer_ids.ravel().tolist())

    def reserve_transfers(self, n: int) -> I64:
        """Reserve `n` transfer ids for a co-simulated model; return them."""
        return np.array([self._free_ids.pop() for _ in range(n)], np.int64)

    def close(self) -> None:
        """Emit the memory's actions up to now."""
        catch_up(self.memory, self.times, self.env.now_ps)
        for action, count in zip(COUNTS, self.memory.channels.buses[:, COUNTS_FROM:].sum(axis=0).tolist(), strict=True):
            self.probe.emit(ActionDone, component=DRAM, action=action, count=count)

    def _run(self) -> ProcessGenerator:
        while True:
            self._wake_up = self.env.event()
            wake_ps = self._serve_ahead()
            if wake_ps < NEVER:
                self._wake_at(wake_ps)
            yield self._wake_up

    def _serve_ahead(self) -> int:
        """Serve up to the next event of the simulation; return the time of the next column command."""
        while True:
            model = self.co_simulated
            step = model.advance if model else advance
            n_finished, wake_ps = step(self.memory, self.times, self.env.peek_ps, self._finished)
            for transfer_id in self._finished[:n_finished].tolist():
                self._finish(transfer_id)
            # A model that has just ended knows of no next event, but the memory may still have requests to serve.
            if model is self.co_simulated:
                return wake_ps

    def _wake_at(self, time_ps: int) -> None:
        wake_up = self._wake_up
        alarm = self.env.timeout(max(time_ps - self.env.now_ps, 0))
        alarm.callbacks.append(lambda _: _wake(wake_up))

    def _finish(self, transfer_id: int) -> None:
        transfer = self._in_flight.pop(transfer_id)
        finish_ps = int(self.memory.transfers[transfer_id, FINISH_PS])
        self._free_ids.append(transfer_id)
        # The memory was served ahead, so the end of the transfer may still lie in the future.
        self.env.timeout(finish_ps - self.env.now_ps).callbacks.append(self._completion(transfer))

    def _completion(self, transfer: Transfer) -> Callable[[simpy.Event], None]:
        def complete(_: simpy.Event) -> None:
            self.probe.emit(
                TransferDone,
                what=transfer.what,
                n_bytes=transfer.n_bytes,
                write=transfer.write,
                start_ps=transfer.start_ps,
                end_ps=self.env.now_ps,
            )
            transfer.done.succeed()

        return complete


def _wake(wake_up: simpy.Event) -> None:
    """Wake the memory's process, unless it has been woken already."""
    if not wake_up.triggered:
        wake_up.succeed()


def dram_times(spec: DramSpec) -> DramTimes:
    """Return a memory's shape and timing for the kernels."""
    cycles = {name: getattr(spec, f"{name}_cycles") for name in DramTimes._fields if hasattr(spec, f"{name}_cycles")}
    shape = {name: getattr(spec, name) for name in DramTimes._fields if hasattr(spec, name)}
    return DramTimes(**shape, **cycles, cycle_ps=spec.clock_period_ps)
