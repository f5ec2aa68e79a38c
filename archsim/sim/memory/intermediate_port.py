"""Arbitration of the intermediate memory's port: steps go first, transfers of sequences take the cycles left over."""

from __future__ import annotations

from collections import deque

import numpy as np
import simpy

from archsim.config.arch import ArchSpec
from archsim.engine.environment import Engine
from archsim.kernels.arrays import I64
from archsim.sim.units.unit import ProcessGenerator, wait_until_stable
from archsim.units import ceil_div


class IntermediatePort:
    """Port of the intermediate memory; with more than one port, sequences have one of their own."""

    def __init__(self, env: Engine, arch: ArchSpec) -> None:
        self.env = env
        self.arch = arch
        self.sequences = simpy.Resource(env)
        self._steps: deque[tuple[I64, int]] = deque()
        """First cycles of the steps' accesses, and the cycles that each of them takes."""
        self._steps_end = 0

    def reserve(self, step_starts: I64, words: int) -> None:
        """Reserve the port for steps that start at these cycles and access `words` words each, one per cycle."""
        if self.arch.intermediate_memory.ports > 1 or not words or not step_starts.size:
            return
        # A step's accesses begin with the step, or after those of the step before: start_t >= start_(t-1) + words.
        behind = np.arange(step_starts.size) * words
        starts = np.maximum.accumulate(np.maximum(step_starts, self._steps_end) - behind) + behind
        self._steps_end = int(starts[-1]) + words
        self._steps.append((starts, words))
        # A transfer in flight still needs the accesses since it began, so they are dropped only without one.
        if not self.sequences.count:
            self._forget(self.env.now_ps // self.arch.clock_period_ps)

    def move(self, n_bytes: int) -> ProcessGenerator:
        """Occupy the port for the words that do not overlap with the transfer itself, at most one memory row."""
        row_bytes = self.arch.dram.row_bursts * self.arch.dram.burst_bytes
        words = ceil_div(min(n_bytes, row_bytes), self.arch.intermediate_memory.port_bytes)
        with self.sequences.request() as turn:
            yield turn
            start = self.arch.clock.to_cycles(self.env.now_ps)
            yield from wait_until_stable(self.env, self.arch.clock, lambda: self._end_of(start, words))

    def _end_of(self, start: int, words: int) -> int:
        """Return the cycle at which `words` accesses from `start` on end, after those of the steps known so far."""
        self._forget(start)
        end = start + words
        for starts, length in self._steps:
            # Accesses that end by `start` cannot delay the words, so the search begins behind them.
            for begin in starts[np.searchsorted(starts, start - length, side="right") :].tolist():
                if begin >= end:
                    return end
                end += begin + length - max(begin, start)
        return end

    def _forget(self, before: int) -> None:
        """Drop the accesses of steps that end by cycle `before`."""
        while self._steps and int(self._steps[0][0][-1]) + self._steps[0][1] <= before:
            self._steps.popleft()
