"""A memory by itself for tests: timings of LPDDR4-3200 in memory cycles, and transfers put to it one by one."""

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
    """Times of a preset's clock; they are whole numbers."""
    cycles = np.asarray(ns) * 1000 / load_dram(preset).clock_period_ps
    np.testing.assert_allclose(cycles, np.round(cycles), atol=1e-3)
    return np.round(cycles).astype(np.int64)


def replayed_cycles(preset, addresses, issue="asap", **options):
    return in_cycles(preset, archsim.replay_dram(addresses, preset, issue=issue, **options)["finish_ns"])


# Edges, by hand from JESD209-4's timings for LPDDR4-3200, in memory cycles: a command is one cycle after its request.

TRCD, TRP, CL, CWL, TRAS, TRRD, TFAW, TWR, TWTR, TRTP, TRTRS, TRFC, TREFI, TPPD = (
    *(29, 29, 34, 14, 68, 16, 64, 29, 16, 12, 1, 448, 6246, 4),
)
BL = 8
"""Cycles of a burst of 16 words, and between two."""
ROW = 64 * 64
NEXT_ROW = 8 * ROW
"""Bytes in a row of a bank; from there to the next row of the same bank."""


class Bench:
    """A memory that transfers are put to one by one, which may read or write."""

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
        """Cycles at which the transfers finish, in the order asked for."""
        advance_all(self.memory, self.times)
        return (self.memory.transfers[: self.n, FINISH_PS] // self.spec.clock_period_ps).tolist()

    def counts(self, until):
        catch_up(self.memory, self.times, until * self.spec.clock_period_ps)
        return dict(zip(COUNTS, self.memory.channels.buses[:, COUNTS_FROM:].sum(axis=0).tolist(), strict=True))


def advance_all(memory, times):
    finished, n = np.zeros(64, np.int64), 1
    while n:
        n, _ = advance(memory, times, FOREVER_PS, finished)


def finish_cycles(*requests, spec=None):
    bench = Bench(spec)
    for address, at, *write in requests:
        bench.ask(address, at, write=bool(write))
    return bench.serve()


def spec_with(**fields):
    return DramSpec.model_validate({**DramSpec().model_dump(), **fields})


FIRST = 1 + TRCD + CL + BL
