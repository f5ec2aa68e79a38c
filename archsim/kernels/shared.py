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

from __future__ import annotations

from typing import NamedTuple

from archsim.kernels.jit import inner
from archsim.kernels.lanes import earlier, everywhere, gather, later, load, scatter, store, where
from archsim.kernels.timing import (
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
    end_steps,
)

NEVER = 1 << 62


class Layout(NamedTuple):
    """How a pair lies in one number, so that the least number is the least pair: j in bits 0 to `gate`, and so on."""

    gate: int
    neuron: int
    guest: int
    time: int


@inner
def share_steps(steps, n_units, times):  # type: ignore[no-untyped-def]
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
    end_steps(steps, n_units, times, update, on_products)


@inner
def _layout(n_gates, n_units):  # type: ignore[no-untyped-def]
    gate_bits = neuron_bits = 0
    while 1 << gate_bits < n_gates:
        gate_bits += 1
    while 1 << neuron_bits <= n_units:
        neuron_bits += 1
    return Layout(gate_bits, 2 * gate_bits, 2 * gate_bits + neuron_bits, 2 * gate_bits + neuron_bits + 1)


@inner
def _begin(steps, n_units, times):  # type: ignore[no-untyped-def]
    """Every gate offers its first neuron, every unit is free."""
    for rows in (steps.gates, steps.tally, steps.spans):
        rows[:] = 0
    steps.ready[:], steps.updated[:] = 0, 0
    for k in range(steps.gates.shape[1]):
        store(steps.gates[OFFERED, k], times.decision_cycles)
        store(steps.gates[HEAD_REUSED, k], _is_reused(steps, everywhere(k * n_units)))


@inner
def _is_reused(steps, bit):  # type: ignore[no-untyped-def]
    return (gather(steps.reuse_bytes, bit >> 3) >> (7 - (bit & 7))) & 1


@inner
def _first_pair(steps, n_units, times, layout, n_updated):  # type: ignore[no-untyped-def]
    """What is taken next: the least of all pairs."""
    gates, first = steps.gates, everywhere(NEVER)
    for k in range(gates.shape[1]):
        n = load(gates[HEAD, k])
        is_blocked = (n == n_units) | (n == n_updated + times.result_lag)
        own = where(is_blocked, NEVER >> layout.time, load(gates[OFFERED, k]))
        guest = where(load(gates[HEAD_REUSED, k]) == 1, own, later(own, load(gates[LENT, k])))
        for j in range(gates.shape[1]):
            at = later(own if j == k else guest, load(gates[FREE, j]))
            among_equals = ((j != k) << layout.guest) + (n << layout.neuron) + ((k << layout.gate) + j)
            first = earlier(first, (at << layout.time) + among_equals)
    return first


@inner
def _take(steps, n_units, times, layout, pair):  # type: ignore[no-untyped-def]
    """Let unit j take the next neuron of gate k, which then offers another."""
    gates, tally, ready, taken = steps.gates, steps.tally, steps.ready, steps.taken
    j, k = _bits(pair, 0, layout.gate), _bits(pair, layout.gate, layout.neuron)
    n, at = _bits(pair, layout.neuron, layout.guest), pair >> layout.time
    reused = _of(gates[HEAD_REUSED], k)
    evaluated = 1 - reused
    visited = _bits(pair, layout.guest, layout.time) & evaluated
    free = at + where(reused == 1, times.pass_on_cycles, times.dot_cycles)
    delivered = later(_of(gates[DELIVERED], k), free + evaluated * times.dot_pipeline_cycles)
    is_first = _of(tally[REUSED], j) + _of(tally[EVALUATED], j) == 0
    _set(steps.spans[FIRST_TAKEN], j, where(is_first, at, _of(steps.spans[FIRST_TAKEN], j)))
    _add(tally[REUSED], j, reused)
    _add(tally[EVALUATED], j, evaluated)
    _add(tally[VISITED], j, visited)
    _set(gates[FREE], j, free)
    _set(gates[LENT], k, where(visited == 1, free, _of(gates[LENT], k)))
    _set(gates[DELIVERED], k, delivered)
    place = n & (ready.shape[0] - 1)
    scatter(ready, place, later(gather(ready, place), delivered))
    scatter(taken, _place(taken, k, n), at)
    _offer(steps, n_units, times, k, n + 1, at)


@inner
def _offer(steps, n_units, times, k, n, taken):  # type: ignore[no-untyped-def]
    """Issue gate k's neuron n and offer it, as far as that is known; the last was taken a moment ago."""
    gates, updated = steps.gates, steps.updated
    issue = _of(gates[ISSUED], k) + times.issue_cycles
    issue = where(
        n > times.run_ahead - 1, later(issue, gather(steps.taken, _place(steps.taken, k, n - times.run_ahead))), issue
    )
    offered = later(taken, issue + times.decision_cycles)
    lag = gather(updated, (n - times.result_lag) & (updated.shape[0] - 1))
    offered = where(n > times.result_lag - 1, later(offered, lag), offered)
    _set(gates[ISSUED], k, where(n == n_units, _of(gates[ISSUED], k), issue))
    _set(gates[OFFERED], k, offered)
    _set(gates[HEAD], k, n)
    _set(gates[HEAD_REUSED], k, _is_reused(steps, k * n_units + n))


@inner
def _next_update(steps, times, n, may_start):  # type: ignore[no-untyped-def]
    """Whether all gates have delivered neuron n, and when its cell is updated if so; who waits for that then offers."""
    gates, place = steps.gates, n & (steps.ready.shape[0] - 1)
    least_head = load(gates[HEAD, 0])
    for k in range(1, gates.shape[1]):
        least_head = earlier(least_head, load(gates[HEAD, k]))
    is_due = least_head > n
    ready = gather(steps.ready, place)
    update = later(ready, may_start)
    scatter(steps.ready, place, where(is_due, 0, ready))
    scatter(steps.updated, place, update)
    for k in range(gates.shape[1]):
        waits = is_due & (load(gates[HEAD, k]) == n + times.result_lag)
        offered = load(gates[OFFERED, k])
        store(gates[OFFERED, k], where(waits, later(offered, update), offered))
    first = load(steps.updates[FIRST_UPDATE])
    store(steps.updates[FIRST_UPDATE], where(is_due & (n == 0), update, first))
    return is_due, update


@inner
def _bits(number, first, end):  # type: ignore[no-untyped-def]
    return (number >> first) & ((1 << (end - first)) - 1)


@inner
def _place(taken, k, n):  # type: ignore[no-untyped-def]
    """The row of a[k, n] in the ring."""
    return (n & (taken.shape[0] - 1)) * taken.shape[1] + k


@inner
def _of(rows, which):  # type: ignore[no-untyped-def]
    """Each lane of a row of its own, of few."""
    found = load(rows[0])
    for row in range(1, rows.shape[0]):
        found = where(which == row, load(rows[row]), found)
    return found


@inner
def _set(rows, which, lanes):  # type: ignore[no-untyped-def]
    for row in range(rows.shape[0]):
        store(rows[row], where(which == row, lanes, load(rows[row])))


@inner
def _add(rows, which, lanes):  # type: ignore[no-untyped-def]
    for row in range(rows.shape[0]):
        store(rows[row], load(rows[row]) + where(which == row, lanes, 0))
