"""Write ports of the weight buffers: words are written as data arrive, and who shares the bank reads past them."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from archsim.kernels.jit import inner, outer

LATEST = 1024
"""Writes a port remembers."""


@inner
def write_words(memory, port, n_bytes, at_ps):
    """Write words through a port from a time on; return when that is done."""
    begin = max(-(-at_ps // memory.period_ps), memory.port_free_at[port])
    end = begin - (-n_bytes // memory.word_bytes)
    memory.port_free_at[port] = end
    latest = memory.n_windows[port] % memory.windows.shape[1]
    memory.windows[port, latest, 0], memory.windows[port, latest, 1] = begin, end
    memory.n_windows[port] += 1
    return end * memory.period_ps


@outer
def contended_read_end(memory, port, start, cycles):
    """When `cycles` reads from `start` on are done, if the bank's fills that are known of go first."""
    windows, newest = memory.windows, memory.n_windows[port]
    ring, first = windows.shape[1], newest
    while first > max(newest - ring, 0) and windows[port, (first - 1) % ring, 1] > start:
        first -= 1
    end = start + cycles
    for window in range(first, newest):
        fill_begin, fill_end = windows[port, window % ring, 0], windows[port, window % ring, 1]
        if fill_begin >= end:
            break
        end += fill_end - max(fill_begin, start)
    return end
