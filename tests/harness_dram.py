"""Main memory on its own: timings of LPDDR4-3200 in memory cycles, and a bench that submits single transfers."""

import numpy as np

import archsim
from archsim.config.dram import DramSpec, load_dram
from archsim.kernels.dram.channel import COUNTS, COUNTS_FROM
from archsim.kernels.dram.frfcfs import advance, catch_up
from archsim.kernels.dram.requests import FINISH_PS, NO_PORT, idle_memory, submit
from archsim.sim.memory.dram import dram_times

JEDEC, SHIP = "lpddr4-3200-x32", "lpddr4-2400-x32"
FOREVER_PS = 1 << 60


def in_cycles(preset, ns):
    """Return times in cycles of a preset's clock; they must be whole."""
    cycles = np.asarray(ns) * 1000 / load_dram(preset).clock_period_ps
    np.testing.assert_allclose(cycles, np.round(cycles), atol=1e-3)
    return np.round(cycles).astype(np.int64)


def replayed_cycles(preset, addresses, issue="asap", **options):
    """Return the memory cycles at which replayed requests finish."""
    return in_cycles(preset, archsim.replay_dram(addresses, preset, issue=issue, **options)["finish_ns"])


# Edges, by hand from JESD209-4's timings for LPDDR4-3200, in memory cycles: a command is one cycle after its request.

TRCD, TRP, CL, CWL, TRAS, TRRD, TFAW, TWR, TWTR, TRTP, TRTRS, TRFC, TREFI, TPPD = (
    *(29, 29, 34, 14, 68, 16, 64, 29, 16, 12, 1, 448, 6246, 4),
)
BL = 8
"""Memory cycles of a burst of 16 words, and between two."""
ROW = 64 * 64
NEXT_ROW = 8 * ROW
"""Bytes between a row and the next row of the same bank; `ROW` is the bytes of a row."""


class Bench:
    """Main memory without an event loop; reads and writes are submitted one by one."""

    def __init__(self, spec=None):
        self.spec = spec or DramSpec()
        self.times = dram_times(self.spec)
        self.memory = idle_memory(self.times, n_transfers=64, ports=0, period_ps=1, word_bytes=1)
        self.n = 0

    def ask(self, address, at=0, *, n_bytes=64, write=False):
        at_ps = at * self.spec.clock_period_ps
        submit(self.memory, self.times, self.n, address, n_bytes, write, at_ps, self.n, NO_PORT, 0)
        self.n += 1

    def serve(self):
        """Serve all transfers; return the cycles at which they finish, in the order of submission."""
        advance_all(self.memory, self.times)
        return (self.memory.transfers[: self.n, FINISH_PS] // self.spec.clock_period_ps).tolist()

    def counts(self, until):
        """Return the counts of commands and power-state cycles up to a cycle."""
        catch_up(self.memory, self.times, until * self.spec.clock_period_ps)
        return dict(zip(COUNTS, self.memory.channels.buses[:, COUNTS_FROM:].sum(axis=0).tolist(), strict=True))


def advance_all(memory, times):
    """Serve all transfers of a memory."""
    finished, n = np.zeros(64, np.int64), 1
    while n:
        n, _ = advance(memory, times, FOREVER_PS, finished)


def finish_cycles(*requests, spec=None):
    """Return the cycles at which requests (address, cycle[, write]) finish."""
    bench = Bench(spec)
    for address, at, *write in requests:
        bench.ask(address, at, write=bool(write))
    return bench.serve()


def spec_with(**fields):
    """Return the default memory with fields changed."""
    return DramSpec.model_validate({**DramSpec().model_dump(), **fields})


FIRST = 1 + TRCD + CL + BL
