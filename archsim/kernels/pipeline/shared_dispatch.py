"""The step recurrence where dot product units share their work (`dispatch = "shared"`).

In the symbols of SEMANTICS 2.2, G units j serving G gates k; u, f, m, S and the credits Q and Q_m as there:

    q[k,n] = max(f[k,n], a[k,n-1], m[n-Q_m])                    gate k offers neuron n
    at     = max(q[k,n], free[j])                               unit j could take it; if it has to read the weights of
             and lent[k] too, where j != k and n is evaluated   another unit, only one guest at a time can do so
    take the pair (j, k) with the least (at, j != k, n, k, j), n being the next neuron of gate k
    a[k,n] = at,  free[j] = a[k,n] + (c_d if evaluated else c_r)
    lent[k] = free[j] where j != k and n is evaluated;  free[j] = lent[k] = S_t before
    r[k,n] = max(free[j] + (L_d if evaluated else 0), r[k,n-1])

So what can be taken first is taken first; at equal times a unit prefers its own gate, then the gate furthest behind.
Every step takes G·H pairs, so steps go side by side, each with a pair of its own.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import NamedTuple

from archsim.kernels.jit import inner
from archsim.kernels.pipeline.gates import (
    DELIVERED,
    EVALUATED,
    FIRST_TAKEN,
    FIRST_UPDATE,
    FREE,
    HEAD,
    HEAD_REUSED,
    ISSUED,
    LENT,
    OFFERED,
    REUSED,
    VISITED,
    add,
    end_steps,
)
from archsim.kernels.pipeline.lanes import earlier, everywhere, gather, later, load, scatter, store, where

NEVER = 1 << 62
"""Of 62 bits a pair's gates and neuron leave the time enough: no latency is above 100 000 cycles (`sourced`), and a
hundred thousand neurons that take several of these each, in four gates, are below 2^40."""


class Layout(NamedTuple):
    """How a pair lies in one number, so that the least number is the least pair: j in bits 0 to `gate`, and so on."""

    gate: int
    neuron: int
    guest: int
    time: int


@inner
def share_steps(steps, n_units, times):
    """Run the recurrence of steps, and note what their units did and waited for."""
    n_gates = steps.gates.shape[1]
    layout = _layout(n_gates, n_units)
    _begin(steps, n_units, times)
    n_updated, update, on_products = everywhere(0), everywhere(-times.update_interval_cycles), everywhere(0)
    for _ in range(n_gates * n_units):
        _take(steps, n_units, times, layout, _first_pair(steps, n_units, times, layout, n_updated))
        may_start = update + times.update_interval_cycles
        is_due, found = _next_update(steps, times, n_updated, may_start)
        on_products = on_products + where(is_due, found - may_start, 0)
        update = where(is_due, found, update)
        n_updated = n_updated + where(is_due, 1, 0)
    for j in range(n_gates):  # units that took nothing
        idle = load(steps.spans[FIRST_TAKEN, j]) == NEVER
        _set(steps.spans[FIRST_TAKEN, j], idle, everywhere(0))
    end_steps(steps, n_units, times, update, on_products)


@inner
def _layout(n_gates, n_units):
    gate_bits = neuron_bits = 0
    while 1 << gate_bits < n_gates:
        gate_bits += 1
    while 1 << neuron_bits <= n_units:
        neuron_bits += 1
    return Layout(gate_bits, 2 * gate_bits, 2 * gate_bits + neuron_bits, 2 * gate_bits + neuron_bits + 1)


@inner
def _begin(steps, n_units, times):
    """Every gate offers its first neuron, every unit is free."""
    steps.gates[:], steps.tally[:], steps.spans[:] = 0, 0, 0
    steps.ready[:], steps.updated[:], steps.spans[FIRST_TAKEN] = 0, 0, NEVER
    for k in range(steps.gates.shape[1]):
        store(steps.gates[OFFERED, k], times.decision_cycles)
        store(steps.gates[HEAD_REUSED, k], _is_reused(steps, everywhere(k * n_units)))


@inner
def _is_reused(steps, bit):
    return (gather(steps.reuse_bytes, bit >> 3) >> (7 - (bit & 7))) & 1


@inner
def _first_pair(steps, n_units, times, layout, n_updated):
    """What is taken next: the least of all pairs."""
    gates, first = steps.gates, everywhere(NEVER)
    for k in range(gates.shape[1]):
        n = load(gates[HEAD, k])
        is_blocked = (n == n_units) | (n == n_updated + times.result_lag)
        own = where(is_blocked, NEVER >> layout.time, load(gates[OFFERED, k]))
        guest = where(load(gates[HEAD_REUSED, k]) == 1, own, later(own, load(gates[LENT, k])))
        place = (n << layout.neuron) + (k << layout.gate)
        for j in range(gates.shape[1]):
            at = later(own if j == k else guest, load(gates[FREE, j]))
            first = earlier(first, (at << layout.time) + place + (((j != k) << layout.guest) + j))
    return first


@inner
def _take(steps, n_units, times, layout, pair):
    """Let unit j take the next neuron of gate k, which then offers another."""
    gates, tally, first_taken, ready = steps.gates, steps.tally, steps.spans[FIRST_TAKEN], steps.ready
    j, k = _bits(pair, 0, layout.gate), _bits(pair, layout.gate, layout.neuron)
    n, at = _bits(pair, layout.neuron, layout.guest), pair >> layout.time
    reused = delivered = issued = everywhere(0)
    for gate in range(gates.shape[1]):
        reused = where(k == gate, load(gates[HEAD_REUSED, gate]), reused)
        delivered = where(k == gate, load(gates[DELIVERED, gate]), delivered)
        issued = where(k == gate, load(gates[ISSUED, gate]), issued)
    evaluated = 1 - reused
    visited = _bits(pair, layout.guest, layout.time) & evaluated
    free = at + where(reused == 1, times.pass_on_cycles, times.dot_cycles)
    delivered = later(delivered, free + evaluated * times.dot_pipeline_cycles)
    place = n & (ready.shape[0] - 1)
    scatter(ready, place, later(gather(ready, place), delivered))
    scatter(steps.taken, _place(steps.taken, k, n), at)
    issue, offered = _offer(steps, times, k, n + 1, issued, at)
    next_reused = _is_reused(steps, k * n_units + n + 1)
    for u in range(gates.shape[1]):
        is_gate, is_unit = k == u, j == u
        _set(gates[FREE, u], is_unit, free)
        _set(gates[LENT, u], is_gate & (visited == 1), free)
        _set(gates[DELIVERED, u], is_gate, delivered)
        _set(gates[ISSUED, u], is_gate & (n < n_units - 1), issue)
        _set(gates[OFFERED, u], is_gate, offered)
        _set(gates[HEAD, u], is_gate, n + 1)
        _set(gates[HEAD_REUSED, u], is_gate, next_reused)
        add(tally[REUSED, u], where(is_unit, reused, 0))
        add(tally[EVALUATED, u], where(is_unit, evaluated, 0))
        add(tally[VISITED, u], where(is_unit, visited, 0))
        _set(first_taken[u], is_unit, earlier(at, load(first_taken[u])))


@inner
def _offer(steps, times, k, n, issued, taken):
    """When gate k issues neuron n, and offers it as far as that is known; the last was taken a moment ago."""
    place = gather(steps.taken, _place(steps.taken, k, n - times.run_ahead))
    issue = issued + times.issue_cycles
    issue = where(n < times.run_ahead, issue, later(issue, place))
    offered = later(taken, issue + times.decision_cycles)
    updated = gather(steps.updated, (n - times.result_lag) & (steps.updated.shape[0] - 1))
    return issue, where(n < times.result_lag, offered, later(offered, updated))


@inner
def _next_update(steps, times, n, may_start):
    """Whether all gates have delivered neuron n, and when its cell is updated if so; who waits for that then offers."""
    gates, place = steps.gates, n & (steps.ready.shape[0] - 1)
    least_head = load(gates[HEAD, 0])
    for k in range(1, gates.shape[1]):
        least_head = earlier(least_head, load(gates[HEAD, k]))
    is_due, ready = least_head > n, gather(steps.ready, place)
    update = later(ready, may_start)
    scatter(steps.ready, place, where(is_due, 0, ready))
    scatter(steps.updated, place, update)
    for k in range(gates.shape[1]):
        waits = is_due & (load(gates[HEAD, k]) == n + times.result_lag)
        _set(gates[OFFERED, k], waits, later(update, load(gates[OFFERED, k])))
    _set(steps.updates[FIRST_UPDATE], is_due & (n == 0), update)
    return is_due, update


@inner
def _bits(number, first, end):
    return (number >> first) & ((1 << (end - first)) - 1)


@inner
def _place(taken, k, n):
    """The row of a[k, n] in the ring."""
    return (n & (taken.shape[0] - 1)) * taken.shape[1] + k


@inner
def _set(row, truths, lanes):
    store(row, where(truths, lanes, load(row)))
