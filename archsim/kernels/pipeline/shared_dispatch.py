"""The step recurrence where dot product units share their work (`dispatch = "shared"`). No other machine needs it.

In the symbols of SEMANTICS 2.2, with G units j serving G gates k, and u, f, m, S and the credits Q and Q_m as there:

    q[k,n] = max(f[k,n], a[k,n-1], m[n-Q_m])                    gate k offers neuron n
    at     = max(q[k,n], free[j])                               unit j could take it; if it has to read the weights of
             and borrowed[k], where j != k and n is evaluated   another unit, only one remote unit at a time can do so
    take the pair (j, k) with the least (at, j != k, n, k, j), n being the next neuron of gate k
    a[k,n] = at,  free[j] = a[k,n] + (c_d if evaluated else c_r)
    borrowed[k] = free[j] where j != k and n is evaluated;  free[j] = borrowed[k] = S_t before
    r[k,n] = max(free[j] + (L_d if evaluated else 0), r[k,n-1])

So what can be taken first is taken first; at equal times a unit prefers its own gate, then the gate furthest behind.
Every step takes G·H pairs, so steps go side by side, each with a pair of its own (`lanes.py`).

Must agree with the neuron level: `sim/machines/epur/shared_dispatch/units.py`.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import NamedTuple

from archsim.kernels.arrays import I64
from archsim.kernels.jit import inner
from archsim.kernels.pipeline.lanes import LANES, MAX_GATES, scratch_rows
from archsim.kernels.pipeline.recurrence import (
    EVALUATED,
    FIRST_TAKEN,
    FIRST_UPDATE,
    LAST_DECISION,
    LAST_FREE,
    LAST_UPDATE,
    ON_CREDIT,
    ON_DECISION,
    ON_PRODUCTS,
    REMOTE,
    REUSED,
    decision_cycle,
    delivery_cycle,
    free_cycle,
    issue_cycle,
    update_cycle,
)

NO_PAIR = 1 << 62
"""Key larger than any pair's. The other fields leave enough of its 62 bits for the time: no latency is above 100,000
cycles, so even a step of four gates of 100,000 neurons, with several latencies each, ends before 2^40."""


class KeyBits(NamedTuple):
    """First bits of the fields of a pair's key after j, which starts at bit 0; the order of keys is that of pairs."""

    gate: int
    neuron: int
    remote: int
    time: int


class SharedState(NamedTuple):
    """Progress of LANES steps side by side: rows of units j or gates k (MAX_GATES, LANES)."""

    next_neuron: I64
    """n of gate k, the next neuron to be taken."""
    next_reused: I64
    """Decision on that neuron."""
    issued: I64
    """u[k,n]."""
    offered: I64
    """q[k,n], as far as it is known."""
    borrowed_until: I64
    """borrowed[k], the cycle up to which a remote unit reads the weights of gate k."""
    delivered: I64
    """r[k,n-1]."""
    free: I64
    """free[j]."""
    n_updated: I64
    """(1, LANES) cells updated."""
    last_update: I64
    """(1, LANES) m[n-1] of the next cell n."""


@inner
def time_shared_steps(batch, n_units, step_times):
    """Time LANES steps on units that share their work; `batch` is a StepBatch of `resident.py`."""
    state = SharedState(
        next_neuron=scratch_rows(MAX_GATES),
        next_reused=scratch_rows(MAX_GATES),
        issued=scratch_rows(MAX_GATES),
        offered=scratch_rows(MAX_GATES),
        borrowed_until=scratch_rows(MAX_GATES),
        delivered=scratch_rows(MAX_GATES),
        free=scratch_rows(MAX_GATES),
        n_updated=scratch_rows(1),
        last_update=scratch_rows(1),
    )
    pairs = scratch_rows(1)
    n_gates = batch.taken.shape[1]
    bits = _key_bits(n_gates, n_units)
    _start_steps(batch, state, n_units, step_times, bits)
    # Two loops, because the first has only constant bounds inside and is vectorised, and the second follows pointers.
    for _ in range(n_gates * n_units):
        for lane in range(LANES):
            pairs[0, lane] = _first_pair(state, lane, n_units, step_times, bits)
        for lane in range(LANES):
            _take(batch, state, pairs[0, lane], lane, n_units, step_times, bits)
            _update(batch, state, lane, n_units, step_times)
    for lane in range(LANES):
        _record_units(batch, state, lane, n_units, step_times)


@inner
def _key_bits(n_gates, n_units):
    gate_bits = neuron_bits = 0
    while 1 << gate_bits < n_gates:
        gate_bits += 1
    while 1 << neuron_bits <= n_units:
        neuron_bits += 1
    return KeyBits(gate_bits, 2 * gate_bits, 2 * gate_bits + neuron_bits, 2 * gate_bits + neuron_bits + 1)


@inner
def _field(key, first, end):
    """Return a field of a key, its bits from `first` up to `end`."""
    return (key >> first) & ((1 << (end - first)) - 1)


@inner
def _is_reused(batch, bit, lane):
    return (batch.reuse_bytes[bit >> 3, lane] >> (7 - (bit & 7))) & 1


@inner
def _start_steps(batch, state, n_units, step_times, bits):
    """Let every gate issue and offer neuron 0 at S_t."""
    n_gates = batch.taken.shape[1]
    batch.ready[:] = 0
    batch.tally[:] = 0
    batch.spans[:] = 0
    batch.updates[:] = 0
    state.issued[:] = 0  # u[k,0] = S_t
    state.offered[:] = step_times.decision_cycles
    state.borrowed_until[:] = 0
    state.delivered[:] = 0
    state.free[:] = 0
    state.n_updated[:] = 0
    state.last_update[:] = -step_times.update_interval_cycles
    # Gates up to MAX_GATES that the pass lacks have nothing left to offer, and their units are never free.
    state.next_neuron[:] = n_units
    for k in range(n_gates):
        for lane in range(LANES):
            state.next_neuron[k, lane] = 0
            state.next_reused[k, lane] = _is_reused(batch, k * n_units, lane)
    for j in range(n_gates, MAX_GATES):
        state.free[j, :] = NO_PAIR >> bits.time


@inner
def _first_pair(state, lane, n_units, step_times, bits):
    """Return the key of the pair that a step takes next, the least of all.

    The loops go to MAX_GATES, a constant, so that the compiler unrolls them and vectorises the loop over lanes.
    """
    first = NO_PAIR
    for k in range(MAX_GATES):
        n = state.next_neuron[k, lane]
        is_blocked = (n == n_units) | (n == state.n_updated[0, lane] + step_times.result_lag)
        own = NO_PAIR >> bits.time if is_blocked else state.offered[k, lane]
        remote = own if state.next_reused[k, lane] else max(own, state.borrowed_until[k, lane])
        for j in range(MAX_GATES):
            at = max(own if j == k else remote, state.free[j, lane])
            key = (at << bits.time) + (((j != k) << bits.remote) + (n << bits.neuron) + (k << bits.gate) + j)
            first = min(first, key)
    return first


@inner
def _take(batch, state, key, lane, n_units, step_times, bits):
    """Let unit j take neuron n of gate k, which then issues and offers its next one."""
    j, k = _field(key, 0, bits.gate), _field(key, bits.gate, bits.neuron)
    n, at = _field(key, bits.neuron, bits.remote), key >> bits.time
    reused = state.next_reused[k, lane]
    is_remote = _field(key, bits.remote, bits.time) & (1 - reused)
    free = free_cycle(at, reused, step_times)
    delivered = delivery_cycle(state.delivered[k, lane], free, reused, step_times)  # r[k,n]
    if batch.tally[REUSED, j, lane] + batch.tally[EVALUATED, j, lane] == 0:
        batch.spans[FIRST_TAKEN, j, lane] = at
    batch.tally[REUSED, j, lane] += reused
    batch.tally[EVALUATED, j, lane] += 1 - reused
    batch.tally[REMOTE, j, lane] += is_remote
    state.free[j, lane] = free
    state.borrowed_until[k, lane] = free if is_remote else state.borrowed_until[k, lane]
    state.delivered[k, lane] = delivered
    batch.ready[n, lane] = max(batch.ready[n, lane], delivered)
    batch.taken[n, k, lane] = at  # a[k,n]
    # From here on n is the gate's next neuron. Its offer may still wait for m[n-Q_m], which `_update` then adds.
    n += 1
    state.next_neuron[k, lane] = n
    if n < n_units:
        credit = batch.taken[n - step_times.run_ahead, k, lane] if n >= step_times.run_ahead else 0  # a[k,n-Q]
        updated = batch.updated[n - step_times.result_lag, lane] if n >= step_times.result_lag else 0  # m[n-Q_m]
        state.issued[k, lane] = issue_cycle(state.issued[k, lane], credit, step_times)  # u[k,n]
        state.offered[k, lane] = max(decision_cycle(state.issued[k, lane], step_times), at, updated)  # q[k,n]
        state.next_reused[k, lane] = _is_reused(batch, k * n_units + n, lane)


@inner
def _update(batch, state, lane, n_units, step_times):
    """Start the next cell update if all gates have delivered it; gates that wait for its credit then offer."""
    n, least_next = state.n_updated[0, lane], n_units
    for k in range(MAX_GATES):
        least_next = min(least_next, state.next_neuron[k, lane])
    # A neuron that is taken is also delivered at a known cycle, and one take completes at most one cell.
    if least_next > n:
        update, on_products = update_cycle(state.last_update[0, lane], batch.ready[n, lane], step_times)  # m[n]
        if n == 0:
            batch.updates[FIRST_UPDATE, lane] = update
        batch.updates[ON_PRODUCTS, lane] += on_products
        batch.updated[n, lane] = update
        state.last_update[0, lane] = update
        state.n_updated[0, lane] = n + 1
        for k in range(MAX_GATES):
            if state.next_neuron[k, lane] == n + step_times.result_lag:
                state.offered[k, lane] = max(state.offered[k, lane], update)


@inner
def _record_units(batch, state, lane, n_units, step_times):
    """Record the end of a step; a unit waits for a decision whenever it does not work."""
    for j in range(batch.taken.shape[1]):
        tally = batch.tally[:, j, lane]
        worked = tally[REUSED] * step_times.memo_hit_cycles + tally[EVALUATED] * step_times.dot_cycles
        tally[ON_DECISION] = state.free[j, lane] - worked
        tally[ON_CREDIT] = state.issued[j, lane] - (n_units - 1) * step_times.issue_cycles
        batch.spans[LAST_DECISION, j, lane] = state.issued[j, lane] + step_times.decision_cycles
        batch.spans[LAST_FREE, j, lane] = state.free[j, lane]
    batch.updates[LAST_UPDATE, lane] = state.last_update[0, lane]
