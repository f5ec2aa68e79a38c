"""Queue of a channel, kept by age: by arrival, and within a cycle by the order of submission."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from archsim.kernels.dram.channel import NEVER
from archsim.kernels.dram.requests import (
    ARRIVAL,
    BACKLOG_FROM,
    BACKLOG_TO,
    BANK,
    ENTERED_PS,
    ORDER,
    QUEUED,
    SLOT_FREE_FROM,
    TRANSFER,
    copy_request,
)
from archsim.kernels.jit import inner


@inner
def fill_queue(memory, dram_times, channel, until):
    """Move requests that have arrived into the queue; return the cycle of the next one's first command.

    It is NEVER where none can enter: the backlog is empty, or the queue is full and waits for a service.
    """
    cursors = memory.cursors
    while cursors[channel, BACKLOG_FROM] < cursors[channel, BACKLOG_TO]:
        if cursors[channel, QUEUED] == dram_times.queue_depth:
            return NEVER
        head, slot = cursors[channel, BACKLOG_FROM], memory.age_order[channel, cursors[channel, QUEUED]]
        # A request that found the queue full enters when a slot becomes free, so it is no older than that.
        arrival = max(memory.backlog[channel, head, ARRIVAL], cursors[channel, SLOT_FREE_FROM])
        if arrival + dram_times.controller > until:
            return arrival + dram_times.controller
        copy_request(memory.backlog, channel, head, memory.queue, slot)
        memory.queue[channel, slot, ARRIVAL] = arrival
        transfer = memory.backlog[channel, head, TRANSFER]
        if memory.transfers[transfer, ENTERED_PS] < 0:
            memory.transfers[transfer, ENTERED_PS] = arrival * dram_times.cycle_ps
        cursors[channel, BACKLOG_FROM] += 1
        cursors[channel, QUEUED] += 1
        _sort_last(memory, channel)
    return NEVER


@inner
def requeue(memory, channel, age):
    """Move a request whose arrival has become later to its new position by age."""
    _move_to_back(memory, channel, age)
    _sort_last(memory, channel)


@inner
def leave_queue(memory, channel, age, at):
    """Free a request's slot at cycle `at`."""
    if memory.cursors[channel, QUEUED] == memory.queue.shape[1]:
        memory.cursors[channel, SLOT_FREE_FROM] = at
    _move_to_back(memory, channel, age)
    memory.cursors[channel, QUEUED] -= 1


@inner
def ready_from(memory, dram_times, channel, rank):
    """Return the cycle from which the oldest request for a rank can be served, NEVER if there is none."""
    for age in range(memory.cursors[channel, QUEUED]):
        slot = memory.age_order[channel, age]
        if memory.queue[channel, slot, BANK] // dram_times.banks == rank:
            return memory.queue[channel, slot, ARRIVAL] + dram_times.controller
    return NEVER


@inner
def _sort_last(memory, channel):
    """Move the last request of the queue ahead of those that are younger."""
    age_order, age = memory.age_order, memory.cursors[channel, QUEUED] - 1
    slot = age_order[channel, age]
    while age > 0 and _is_older(memory.queue, channel, slot, age_order[channel, age - 1]):
        age_order[channel, age] = age_order[channel, age - 1]
        age -= 1
    age_order[channel, age] = slot


@inner
def _move_to_back(memory, channel, age):
    age_order, last = memory.age_order, memory.cursors[channel, QUEUED] - 1
    slot = age_order[channel, age]
    for other in range(age, last):
        age_order[channel, other] = age_order[channel, other + 1]
    age_order[channel, last] = slot


@inner
def _is_older(queue, channel, slot, other):
    if queue[channel, slot, ARRIVAL] != queue[channel, other, ARRIVAL]:
        return queue[channel, slot, ARRIVAL] < queue[channel, other, ARRIVAL]
    return queue[channel, slot, ORDER] < queue[channel, other, ORDER]
