"""A channel's queue in front of the scheduler, kept by age: by arrival, and of one cycle by the order of asking."""

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
    ROOM_FROM,
    TRANSFER,
    copy_request,
)
from archsim.kernels.jit import inner


@inner
def fill_queue(memory, times, channel, until):
    """Let requests that have arrived into the queue; return when the next one could enter, NEVER if none can."""
    cursors = memory.cursors
    while cursors[channel, BACKLOG_FROM] < cursors[channel, BACKLOG_TO]:
        if cursors[channel, QUEUED] == times.queue_depth:
            return NEVER
        head, place = cursors[channel, BACKLOG_FROM], memory.age_order[channel, cursors[channel, QUEUED]]
        arrival = max(memory.backlog[channel, head, ARRIVAL], cursors[channel, ROOM_FROM])
        if arrival + times.controller > until:
            return arrival + times.controller
        copy_request(memory.backlog, channel, head, memory.queue, place)
        memory.queue[channel, place, ARRIVAL] = arrival
        transfer = memory.backlog[channel, head, TRANSFER]
        if memory.transfers[transfer, ENTERED_PS] < 0:
            memory.transfers[transfer, ENTERED_PS] = arrival * times.cycle_ps
        cursors[channel, BACKLOG_FROM] += 1
        cursors[channel, QUEUED] += 1
        _sort_last(memory, channel)
    return NEVER


@inner
def grow_younger(memory, channel, age):
    """Let a request that has a later arrival now find its new place."""
    _make_last(memory, channel, age)
    _sort_last(memory, channel)


@inner
def leave_queue(memory, channel, age, at):
    """Free a request's place."""
    if memory.cursors[channel, QUEUED] == memory.queue.shape[1]:
        memory.cursors[channel, ROOM_FROM] = at
    _make_last(memory, channel, age)
    memory.cursors[channel, QUEUED] -= 1


@inner
def ready_from(memory, times, channel, rank):
    """From when a request for a rank could be served; NEVER if there is none."""
    for age in range(memory.cursors[channel, QUEUED]):
        place = memory.age_order[channel, age]
        if memory.queue[channel, place, BANK] // times.banks == rank:
            return memory.queue[channel, place, ARRIVAL] + times.controller
    return NEVER


@inner
def _sort_last(memory, channel):
    """Put the last request of the queue ahead of those that are younger."""
    age_order, age = memory.age_order, memory.cursors[channel, QUEUED] - 1
    place = age_order[channel, age]
    while age > 0 and _is_older(memory.queue, channel, place, age_order[channel, age - 1]):
        age_order[channel, age] = age_order[channel, age - 1]
        age -= 1
    age_order[channel, age] = place


@inner
def _make_last(memory, channel, age):
    age_order, last = memory.age_order, memory.cursors[channel, QUEUED] - 1
    place = age_order[channel, age]
    for other in range(age, last):
        age_order[channel, other] = age_order[channel, other + 1]
    age_order[channel, last] = place


@inner
def _is_older(queue, channel, place, than):
    if queue[channel, place, ARRIVAL] != queue[channel, than, ARRIVAL]:
        return queue[channel, place, ARRIVAL] < queue[channel, than, ARRIVAL]
    return queue[channel, place, ORDER] < queue[channel, than, ORDER]
