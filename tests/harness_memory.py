"""Runs for tests of the memories: a log of transfers and spans, and records of a given reuse."""

import numpy as np

from archsim.activity import ActivityRecord, pass_shapes
from archsim.config.dram import DramSpec
from archsim.engine.environment import Engine
from archsim.engine.probe import Probe
from archsim.engine.trace_events import Busy, TransferDone
from archsim.sim.accelerator import simulate_activity
from archsim.sim.items import PassSegment
from archsim.sim.listeners.counters import UnitTimes
from archsim.sim.memory.dram import FillPorts, MainMemory

FIRST_PS = (1 + 29 + 34 + 8) * 625
"""Picoseconds to the end of a first read: controller, tRCD, CL, BL/2."""


def main_memory(env, spec=None, ports=0):
    """Return a main memory in an event loop."""
    return MainMemory(
        env, spec or DramSpec(), Probe(env), ports=FillPorts(ports, 32, 2000), n_transfers=64
    )  # fmt: skip


# Weights. Networks without reuse need no arithmetic: their record is known beforehand.


class RunLog:
    """Listener that keeps transfers, spans of fills and passes, and the times of units."""

    def __init__(self):
        self.moved, self.spans, self.times = [], [], UnitTimes()

    def __call__(self, event):
        self.times(event)
        if isinstance(event, TransferDone):
            self.moved.append((event.what, event.n_bytes))
        elif isinstance(event, Busy) and event.unit in ("fill", "sequencer"):
            self.spans.append((event.unit, event.what, event.start_ps, event.end_ps))

    def bytes_of(self, kind):
        return sum(n_bytes for what, n_bytes in self.moved if what.startswith(kind))

    def spans_of(self, unit):
        return [(start, end) for kind, _, start, end in self.spans if kind == unit]


def run(network, lengths, arch, detail="block", activity=None):
    """Simulate a network, without reuse unless a record is given; return the run and its log."""
    shapes = pass_shapes(network)
    activity = activity or ActivityRecord.without_reuse(shapes, {shape.pass_key: lengths for shape in shapes})
    log = RunLog()
    return simulate_activity(network, activity, arch, detail=detail, listeners=[log]), log


def reusing(network, steps, fraction, seed=0):
    """Return a record of one sequence that reuses a fraction; records of one seed are nested."""
    bits = {}
    for shape in pass_shapes(network):
        drawn = np.random.default_rng(seed).random((steps, shape.neurons_per_step)) < fraction
        bits[shape.pass_key] = [np.packbits(drawn, axis=1)]
    return ActivityRecord(pass_shapes(network), bits)


def total_weights(network, arch):
    """Return the bytes of all weights of a network."""
    return sum(PassSegment(s).row_bytes * s.neurons_per_step for s in pass_shapes(network))


class TickingEngine(Engine):
    """Engine in which an event is due all the time."""

    def __init__(self):
        super().__init__()
        self.process(self._tick())

    def _tick(self):
        while True:
            yield self.timeout(1700)
