"""Step loop that all machines share in detail `neuron`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from archsim.kernels.arrays import I64
from archsim.sim.items import PassWork, UpdateTimes, UpdateWork
from archsim.sim.machines.machine import Compute
from archsim.sim.units.mu import MultiFunctionalUnit
from archsim.sim.units.unit import ProcessGenerator


def run_steps(
    compute: Compute,
    mu: MultiFunctionalUnit,
    work: PassWork,
    times: UpdateTimes,
    *,
    port_words: int,
    send_step: Callable[[int, slice], None],
    project: Callable[[], ProcessGenerator] | None = None,
) -> ProcessGenerator:
    """Run the steps of a segment, each after the end of the one before; return S_{t+1} of each, in cycles from now.

    port_words: words per step through the port of the intermediate memory.
    send_step: sends step t to the units of some gates, in front of the multi-functional unit.
    project: makes h of the updated cells at the end of each step, where a projection does.
    """
    first, last = _gates_in_order(work)
    env, clock = compute.env, compute.arch.clock
    start_ps = env.now_ps
    ends: I64 = np.empty(work.n_steps, np.int64)
    for t in range(work.n_steps):
        send_step(t, first)
        mu.steps.send(UpdateWork(work.segment, times))
        compute.port.reserve(np.array([clock.to_cycles(env.now_ps)]), port_words)
        if work.segment.resets_before:
            yield from mu.reset_ends.get()
            send_step(t, last)
        end_ps = yield from mu.step_ends.get()
        if project is not None:
            yield from project()
            end_ps = env.now_ps
        ends[t] = clock.to_cycles(end_ps - start_ps)
    return ends


def _gates_in_order(work: PassWork) -> tuple[slice, slice]:
    """Return the gates that start with a step, and those that wait until r ⊙ h is in their input buffer."""
    n_gates = work.segment.shape.n_gates
    n_first = n_gates - 1 if work.segment.resets_before else n_gates
    return slice(0, n_first), slice(n_first, n_gates)
