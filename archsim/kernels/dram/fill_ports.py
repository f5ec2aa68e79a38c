"""Fill ports: the write ports of the weight buffers, which write words as data arrive from main memory.

Where a buffer has one bank, reads of weights share it with the fills. All times are cycles of the accelerator.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from archsim.kernels.jit import inner, outer

RECENT_FILLS = 1024
"""Fills per port that are remembered, for reads that contend with them. Only fills that end after a read starts matter;
even a whole weight buffer of 2 MiB, in DRAM rows of 2 KiB, arrives in 1024."""


@inner
def write_words(memory, port, n_bytes, at_ps):
    """Write `n_bytes` through a port from `at_ps` on; return the time in ps at which the last word is written."""
    begin = max(-(-at_ps // memory.period_ps), memory.port_free_at[port])
    end = begin - (-n_bytes // memory.word_bytes)
    memory.port_free_at[port] = end
    latest = memory.n_fills[port] % memory.fills.shape[1]
    memory.fills[port, latest, 0], memory.fills[port, latest, 1] = begin, end
    memory.n_fills[port] += 1
    return end * memory.period_ps


@outer
def contended_read_end(memory, port, start, cycles):
    """Return the cycle at which `cycles` reads from `start` on end, if fills of the bank known so far go first."""
    fills, newest = memory.fills, memory.n_fills[port]
    ring, first = fills.shape[1], newest
    # Fills of a port do not overlap and are in order, so the search ends at the first one over before the reads.
    while first > max(newest - ring, 0) and fills[port, (first - 1) % ring, 1] > start:
        first -= 1
    end = start + cycles
    for fill in range(first, newest):
        fill_begin, fill_end = fills[port, fill % ring, 0], fills[port, fill % ring, 1]
        if fill_begin >= end:
            break
        end += fill_end - max(fill_begin, start)
    return end
