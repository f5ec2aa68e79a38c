"""Main memory: one channel that transfers contend for."""

from __future__ import annotations

from typing import Protocol

import simpy

from archsim.config.specs import DramSpec
from archsim.engine.environment import Engine
from archsim.engine.facts import ActionDone, Busy
from archsim.engine.probe import Probe
from archsim.sim.units.wires import Process
from archsim.units import transfer_ps


class MainMemory(Protocol):
    """What the rest of the machine asks of a main memory, however it is modelled."""

    def transfer(self, address_bytes: int, n_bytes: int, *, what: str, write: bool = False) -> simpy.Event:
        """Start a transfer; the event fires when its last byte has arrived."""


class SimpleDram:
    """Constant bandwidth and latency: transfers queue for the channel, latencies overlap."""

    def __init__(self, env: Engine, spec: DramSpec, probe: Probe) -> None:
        self.env, self.spec, self.probe = env, spec, probe
        self.channel = simpy.Resource(env)

    def transfer(self, address_bytes: int, n_bytes: int, *, what: str, write: bool = False) -> simpy.Event:
        """Start a transfer; the event fires when its last byte has arrived. The address plays no part here."""
        return self.env.process(self._serve(n_bytes, what, write))

    def _serve(self, n_bytes: int, what: str, write: bool) -> Process:
        with self.channel.request() as turn:
            yield turn
            start_ps = self.env.now_ps
            yield self.env.timeout(transfer_ps(n_bytes, self.spec.bandwidth_bytes_per_s))
            self.probe.emit(Busy, unit="DRAM", what=what, start_ps=start_ps, end_ps=self.env.now_ps)
            self.probe.emit(ActionDone, component="dram", action="write_byte" if write else "read_byte", count=n_bytes)
        yield self.env.timeout(self.spec.latency_ps)
