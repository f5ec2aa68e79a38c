"""The port of the intermediate memory: steps go first, sequences to and from main memory take the cycles they leave."""

from __future__ import annotations

from collections import deque

import numpy as np
import simpy

from archsim.config.arch import ArchSpec
from archsim.engine.environment import Engine
from archsim.kernels.arrays import I64
from archsim.sim.units.unit import Process, wait_until_stable
from archsim.units import ceil_div


class IntermediatePort:
    """Who accesses the intermediate memory when; with more than one port, sequences have one of their own."""

    def __init__(self, env: Engine, arch: ArchSpec) -> None:
        self.env, self.arch = env, arch
        self.sequences = simpy.Resource(env)
        self._steps: deque[tuple[I64, int]] = deque()
        """Cycles at which steps begin their accesses, and how many cycles each takes."""
        self._steps_end = 0

    def reserve(self, step_starts: I64, words: int) -> None:
        """State that steps beginning at these cycles, each a word a cycle, access so many words."""
        if self.arch.intermediate_memory.ports > 1 or not words or not step_starts.size:
            return
        # A step's accesses begin with it, or when those of the step before are done.
        behind = np.arange(step_starts.size) * words
        starts = np.maximum.accumulate(np.maximum(step_starts, self._steps_end) - behind) + behind
        self._steps_end = int(starts[-1]) + words
        self._steps.append((starts, words))
        if not self.sequences.count:  # one under way still has to pass by the steps since it began
            self._forget(self.env.now_ps // self.arch.clock_period_ps)

    def move(self, n_bytes: int) -> Process:
        """Read or write what is not moved along with the transfer itself: a memory row's worth, word by word."""
        row_bytes = self.arch.dram.row_bursts * self.arch.dram.burst_bytes
        words = ceil_div(min(n_bytes, row_bytes), self.arch.intermediate_memory.port_bytes)
        with self.sequences.request() as turn:
            yield turn
            start = self.arch.clock.to_cycles(self.env.now_ps)
            yield from wait_until_stable(self.env, self.arch.clock, lambda: self._end_of(start, words))

    def _end_of(self, start: int, words: int) -> int:
        """When so many words from `start` on are through, after the accesses of steps known so far."""
        self._forget(start)
        end = start + words
        for starts, length in self._steps:
            for begin in starts[np.searchsorted(starts, start - length, side="right") :].tolist():
                if begin >= end:
                    return end
                end += begin + length - max(begin, start)
        return end

    def _forget(self, before: int) -> None:
        """Drop the accesses of steps that are over by then."""
        while self._steps and int(self._steps[0][0][-1]) + self._steps[0][1] <= before:
            self._steps.popleft()
