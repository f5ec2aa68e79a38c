"""Requests for weights that stream: which row, or column, a computation unit fetches next, and when.

A state is a PassState or a ColumnPassState: what is said of rows and neurons here holds for columns and elements there.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from archsim.kernels.dram.channel import NEVER
from archsim.kernels.dram.requests import FINISH_PS, ORDER_SHIFT, submit
from archsim.kernels.jit import inner
from archsim.kernels.pipeline.pass_state import N_ISSUED, N_READ, NEXT_ROW, PASS_REQUESTS, STEP, UNIT_REQUESTS


@inner
def is_reused(state, k, n):
    """Return the decision of this step on a neuron of gate k, or on a column of it."""
    bit = k * state.gate_bits + n
    return (state.reuse_bits[state.progress[STEP], bit >> 3] >> (7 - (bit & 7))) & 1


@inner
def to_ps(cycle, period_ps):
    """Return a time in picoseconds, NEVER for NEVER."""
    return cycle * period_ps if cycle < NEVER else NEVER


@inner
def next_request(state):
    """Return (cycle, unit) of the next request for a row; the cycle is NEVER if it is not known yet."""
    first, requester = NEVER, 0
    for k in range(state.cus.shape[0]):
        unit, slots = state.cus[k], state.slot_free_at.shape[1]
        n = unit[NEXT_ROW]
        while n < unit[N_ISSUED] and (state.resident[n] or is_reused(state, k, n)):
            n += 1
        unit[NEXT_ROW] = n
        # A row needs a slot. The slot of request i becomes free when row i - S is read; before that, its cycle is
        # not known, and the unit asks again after it has advanced.
        requested = unit[UNIT_REQUESTS]
        if n == unit[N_ISSUED] or unit[N_READ] <= requested - slots:
            continue
        cycle = state.decided_at[k, n]
        if requested >= slots:
            cycle = max(cycle, state.slot_free_at[k, requested % slots])
        if cycle < first:
            first, requester = cycle, k
    return first, requester


@inner
def request_weights(state, memory, dram_times, k, cycle):
    """Submit unit k's next request, at a cycle."""
    unit = state.cus[k]
    n, transfer = unit[NEXT_ROW], state.transfer_ids[k, unit[UNIT_REQUESTS] % state.transfer_ids.shape[1]]
    state.transfer_items[transfer] = k * state.resident.size + n
    # The neuron level submits in another order within a cycle, so the unit counts before the count of requests.
    order = (k << ORDER_SHIFT) + state.progress[PASS_REQUESTS]
    address = state.addresses[k] + n * state.each_bytes
    submit(
        memory, dram_times, transfer, address, state.each_bytes, 0, cycle * memory.period_ps, order, k, state.each_bytes
    )
    state.progress[PASS_REQUESTS] += 1
    unit[UNIT_REQUESTS] += 1
    unit[NEXT_ROW] = n + 1


@inner
def receive_weights(state, memory, transfer):
    """Record the arrival of weights that a transfer has fetched; return their unit."""
    k, n = divmod(state.transfer_items[transfer], state.resident.size)
    state.arrived_at[k, n] = memory.transfers[transfer, FINISH_PS] // memory.period_ps
    return k
