"""Co-simulation of a pass with main memory, at detail `block`: because its weights stream, or fills occupy its bank."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
import simpy

from archsim.engine.trace_events import TransferDone
from archsim.kernels.arrays import I64
from archsim.kernels.dram.channel import DramTimes
from archsim.kernels.dram.requests import Memory
from archsim.kernels.pipeline.pass_state import IS_OVER, STEP, STEP_START
from archsim.sim.actions import emit_actions, weight_fill
from archsim.sim.items import PassWork
from archsim.sim.machines.machine import Compute


class StepEnds(Protocol):
    """Result of a pass, as far as the co-simulation reads it."""

    @property
    def step_ends(self) -> I64:
        """(T,) S_{t+1} in cycles from S_0."""


class PassInFlight(Protocol):
    """Kernel state of a pass, as far as the co-simulation reads it."""

    @property
    def progress(self) -> I64:
        """Progress of the pass, fields of pass_state.py."""

    @property
    def start(self) -> int:
        """S_0."""

    @property
    def transfer_ids(self) -> I64:
        """Ids of the transfers that it may have in flight."""

    @property
    def result(self) -> StepEnds:
        """Times recorded so far."""


class PassKernel(NamedTuple):
    """Kernel that advances a pass together with the memory, and its constants."""

    advance: Callable[[Any, Any, Memory, DramTimes, int, I64], tuple[int, int]]
    """Advance a state, with `times`; see `kernels/pipeline/cosimulation.py` for the promise."""
    times: Any


class CoSimulatedPass:
    """Pass that main memory advances up to the next event of the simulation; `ended` fires with its result.

    port_words: words per step through the port of the intermediate memory.
    """

    def __init__(self, compute: Compute, state: PassInFlight, kernel: PassKernel, *, port_words: int) -> None:
        self.env = compute.env
        self.clock = compute.arch.clock
        self.dram = compute.dram
        self.port = compute.port
        self.state = state
        self.kernel = kernel
        self.port_words = port_words
        self.ended = compute.env.event()
        self.n_reserved = 0
        compute.dram.co_simulate(self)

    def advance(self, dram_state: Memory, dram_times: DramTimes, until_ps: int, finished: I64) -> tuple[int, int]:
        """Advance to `until_ps`, and end the co-simulation when the pass is over.

        Writes the finished transfers of others to `finished`; returns their number and the time of the next call.
        """
        n_finished, wake_ps = self.kernel.advance(
            self.state, self.kernel.times, dram_state, dram_times, until_ps, finished
        )
        self._reserve_steps()
        if self.state.progress[IS_OVER]:
            self.dram.end_co_simulation(self.state.transfer_ids)
            # The kernel runs ahead of the simulation, so the end of the pass may still lie in the future.
            end_ps = self.clock.to_ps(int(self.state.progress[STEP_START]))
            self.env.timeout(end_ps - self.env.now_ps).callbacks.append(self._end)
        return n_finished, wake_ps

    def _end(self, _: simpy.Event) -> None:
        self.ended.succeed(self.state.result)

    def _reserve_steps(self) -> None:
        """Reserve the port of the intermediate memory for the steps that have begun since the last call."""
        step_ends = self.state.result.step_ends
        begun = min(int(self.state.progress[STEP]) + 1, step_ends.size)
        if begun > self.n_reserved:
            starts = self.state.start + np.concatenate([[0], step_ends])[self.n_reserved : begun]
            self.port.reserve(starts, self.port_words)
            self.n_reserved = begun


def emit_streamed(compute: Compute, work: PassWork, what: str, fetched: I64, step_ends: I64, start_ps: int) -> None:
    """Emit the transfers and fills of a pass that streamed.

    what: name of what was fetched, as "rows". fetched: (T,) number of them in all gates.
    step_ends: (T,) cycles from `start_ps`.
    """
    assert work.streamed is not None, "weights on chip need no transfers"
    each_bytes = work.streamed.each_bytes
    emit_actions(compute.probe, weight_fill(compute.arch, each_bytes), int(fetched.sum()))
    ends_ps = (start_ps + step_ends * compute.arch.clock.period_ps).tolist()
    for n_fetched, begin_ps, end_ps in zip(fetched.tolist(), [start_ps, *ends_ps], ends_ps, strict=False):
        compute.probe.emit(
            TransferDone,
            what=f"{what} of {work.segment.label}",
            n_bytes=n_fetched * each_bytes,
            write=False,
            start_ps=begin_ps,
            end_ps=end_ps,
        )
