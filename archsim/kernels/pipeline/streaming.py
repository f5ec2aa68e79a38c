"""A pass that leans on main memory while it runs: its units and the memory, in step.

Weights that are not on chip are asked for when their neuron is decided. Units go ahead as far as what is known takes
them; then the earliest of three things happens: a dot product that shares its bank with fills ends, a row is asked
for, or the memory issues a column command.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from archsim.kernels.dram.channel import NEVER
from archsim.kernels.dram.fill_ports import contended_read_end
from archsim.kernels.dram.frfcfs import next_column, serve
from archsim.kernels.dram.requests import FINISH_PS, submit
from archsim.kernels.jit import inner, outer
from archsim.kernels.pipeline.gates import ON_BANK
from archsim.kernels.pipeline.streamed import (
    ASKED,
    DONE,
    ISSUED,
    READ_END,
    READ_FROM,
    ROW,
    ROWS_ASKED,
    ROWS_READ,
    UNKNOWN,
    UPDATED,
    end_read,
    end_step,
    go_ahead,
    go_ahead_from,
    is_reused,
)


@inner
def _next_row(run):
    """Return when a row is asked for next, and by which unit; NEVER if that is not known yet."""
    best, best_unit = NEVER, 0
    for k in range(run.units.shape[0]):
        n = run.units[k, ROW]
        while n < run.units[k, ISSUED] and (run.resident[n] or is_reused(run, k, n)):
            n += 1
        run.units[k, ROW] = n
        asked, slots = run.units[k, ROWS_ASKED], run.row_read.shape[1]
        if n == run.units[k, ISSUED] or run.units[k, ROWS_READ] <= asked - slots:
            continue
        at = run.decided[k, n]
        if asked >= slots:
            at = max(at, run.row_read[k, asked % slots])
        if at < best:
            best, best_unit = at, k
    return best, best_unit


@inner
def _ask(run, memory, dram, k, at):
    n = run.units[k, ROW]
    number = run.numbers[k, run.units[k, ROWS_ASKED] % run.numbers.shape[1]]
    run.owner[number] = k * run.resident.size + n
    order = (k << 40) + run.state[ASKED]
    address = run.addresses[k] + n * run.row_bytes
    submit(memory, dram, number, address, run.row_bytes, 0, at * memory.period_ps, order, k, run.row_bytes)
    run.state[ASKED] += 1
    run.units[k, ROWS_ASKED] += 1
    run.units[k, ROW] = n + 1


@inner
def _next_read_end(run):
    best, best_unit = NEVER, 0
    for k in range(run.units.shape[0]):
        if 0 < run.units[k, READ_END] < best:
            best, best_unit = run.units[k, READ_END], k
    return best, best_unit


@inner
def _to_ps(cycle, period_ps):
    return cycle * period_ps if cycle < NEVER else NEVER


@outer
def advance_pass(run, times, memory, dram, until_ps, finished):
    """Go on up to `until_ps`, to the first moment a finished transfer of others is heard of, or to the pass's end.

    Writes those transfers to `finished`; returns their number and the time of what happens next.
    """
    n_finished, period_ps = 0, memory.period_ps
    go_ahead(run, times, memory)
    while True:
        while run.state[UPDATED] == run.resident.size:
            end_step(run, times)
            if run.state[DONE]:
                return n_finished, NEVER
            go_ahead(run, times, memory)
        row, asker = _next_row(run)
        end, reader = _next_read_end(run)
        row_ps, end_ps = _to_ps(row, period_ps), _to_ps(end, period_ps)
        column, channel, age = next_column(memory, dram, min(until_ps, row_ps, end_ps) // dram.cycle_ps)
        column_ps = _to_ps(column, dram.cycle_ps)
        next_ps = min(column_ps, row_ps, end_ps)
        if next_ps > until_ps or n_finished == finished.size:
            return n_finished, next_ps
        if end_ps == next_ps:
            later = contended_read_end(memory, reader, run.units[reader, READ_FROM], times.dot_cycles)
            if later > end:
                run.units[reader, READ_END] = later
            else:
                run.found.tally[reader, ON_BANK] += end - run.units[reader, READ_FROM] - times.dot_cycles
                end_read(run, times, reader, end)
                go_ahead_from(run, times, memory, reader)
        elif row_ps == next_ps:
            _ask(run, memory, dram, asker, row)
        elif age >= 0:
            number = serve(memory, dram, channel, age)
            if number >= 0 and run.owner[number] == UNKNOWN:
                finished[n_finished] = number
                n_finished += 1
                until_ps = min(until_ps, memory.transfers[number, FINISH_PS])
            elif number >= 0:
                k, n = run.owner[number] // run.resident.size, run.owner[number] % run.resident.size
                run.arrived[k, n] = memory.transfers[number, FINISH_PS] // period_ps
                go_ahead_from(run, times, memory, k)
        else:
            return n_finished, next_ps
