"""Intermediate memory: sequences are loaded ahead of their layers and stored after them (SEMANTICS 2.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import simpy

from archsim.activity import ActivityRecord
from archsim.config.arch import ArchSpec
from archsim.engine.environment import Engine
from archsim.engine.port import Port
from archsim.engine.probe import Probe
from archsim.engine.trace_events import Busy
from archsim.ir.network import Network
from archsim.sim.actions import emit_actions, sequence_load, sequence_store
from archsim.sim.memory.dram import MainMemory, Requester
from archsim.sim.memory.intermediate_port import IntermediatePort
from archsim.sim.units.unit import ProcessGenerator
from archsim.units import BYTES_PER_SUM

SEQUENCES = "sequences"
"""Name of the transfers of sequences, as of a unit, in timelines."""


@dataclass(frozen=True)
class LayerTraffic:
    """Bytes that a layer reads, writes and keeps, per sequence."""

    inputs: list[int]
    outputs: list[int]
    kept: list[int]
    """Bytes of the encoded sequence that a decoder attends to; 0 elsewhere."""
    partial: list[int]
    """Bytes of partial products under `mwl`, made of the inputs of all steps first; 0 in other dataflows."""

    def footprint_bytes(self, sequence: int) -> int:
        """Return the bytes that lie in the memory while the layer runs."""
        return sum(sizes[sequence] for sizes in (self.inputs, self.outputs, self.kept, self.partial))


def layer_traffic(network: Network, activity: ActivityRecord, arch: ArchSpec) -> list[LayerTraffic]:
    """Return the traffic of each layer in a run."""
    traffic: list[LayerTraffic] = []
    kept = [0] * activity.n_sequences
    for index, layer in enumerate(network.layers):
        if index == len(network.encoder):
            kept = traffic[-1].outputs
        shape = activity.shape(index, 0)
        steps = activity.steps(shape)
        waiting = shape.neurons_per_step if arch.dataflow == "mwl" and not shape.decodes else 0
        sizes = (*map(arch.numbers.input_bytes, (layer.input_size, layer.output_size)), waiting * BYTES_PER_SUM)
        inputs, outputs, partial = ([n * size for n in steps] for size in sizes)
        traffic.append(LayerTraffic(inputs, outputs, kept, partial))
    return traffic


class IntermediateMemory:
    """Space for sequences: each takes the footprint of its largest layer, from its load to the end of its store.

    A layer's excess over the capacity spills: it is written to main memory and read back while the layer runs.
    """

    def __init__(
        self,
        env: Engine,
        arch: ArchSpec,
        layers: Sequence[LayerTraffic],
        *,
        dram: MainMemory,
        port: IntermediatePort,
        base_address_bytes: int,
        probe: Probe,
    ) -> None:
        self.env = env
        self.arch = arch
        self.layers = layers
        self.dram = dram
        self.port = port
        self.probe = probe
        self.input_addresses = [*accumulate(layers[0].inputs, initial=base_address_bytes)]
        self.output_addresses = [*accumulate(layers[-1].outputs, initial=self.input_addresses[-1])]
        self.capacity_bytes = arch.intermediate_memory.capacity_bytes
        self.free_bytes = simpy.Container(env, capacity=self.capacity_bytes, init=self.capacity_bytes)
        self.loaded: Port[int] = Port(env)
        self.stores: list[simpy.Event] = []
        self.store_lock = simpy.Resource(env)
        env.process(self._load_all())

    def spill(self, layer: int, sequence: int) -> list[simpy.Event]:
        """Start the spill of a layer; return the events of its end, none where everything fits."""
        excess = self.layers[layer].footprint_bytes(sequence) - self.capacity_bytes
        return [self.env.process(self._spill(excess, f"spill of sequence {sequence}"))] if excess > 0 else []

    def store(self, sequence: int) -> None:
        """Start to store the top layer's outputs in main memory, and free the sequence's space after that."""
        # Finished stores are dropped, so that the list does not grow with the number of sequences.
        under_way = [store for store in self.stores if not store.processed]
        self.stores = [*under_way, self.env.process(self._store(sequence))]

    def all_stored(self) -> simpy.Event:
        """Return an event at the end of all stores started so far."""
        return self.env.all_of(self.stores)

    def _load_all(self) -> ProcessGenerator:
        for sequence, n_bytes in enumerate(self.layers[0].inputs):
            # Space for all layers is taken at once, so that a loaded sequence never waits for one loaded after it.
            yield self.free_bytes.get(self._space_bytes(sequence))
            address, what = self.input_addresses[sequence], f"inputs of sequence {sequence}"
            yield from self._move(Requester.INPUTS, address, n_bytes, what)
            self.loaded.send(sequence)

    def _store(self, sequence: int) -> ProcessGenerator:
        n_bytes, what = self.layers[-1].outputs[sequence], f"outputs of sequence {sequence}"
        with self.store_lock.request() as turn:
            yield turn
            yield from self._move(Requester.OUTPUTS, self.output_addresses[sequence], n_bytes, what, write=True)
        yield self.free_bytes.put(self._space_bytes(sequence))

    def _spill(self, n_bytes: int, what: str) -> ProcessGenerator:
        # Spilled data are dead once their layer is done, so all spills use the same addresses, behind the outputs.
        address = self.output_addresses[-1]
        yield from self._move(Requester.SPILLS, address, n_bytes, what, write=True)
        yield from self._move(Requester.SPILLS, address, n_bytes, what)

    def _move(
        self, requester: Requester, address: int, n_bytes: int, what: str, *, write: bool = False
    ) -> ProcessGenerator:
        """Move bytes to or from main memory."""
        start_ps = self.env.now_ps
        # Words pass the port while the transfer goes on, all but those of its first or last row.
        if write:
            yield from self.port.move(n_bytes)
        yield self.dram.transfer(address, n_bytes, what=what, write=write, requester=requester)
        if not write:
            yield from self.port.move(n_bytes)
        emit_actions(self.probe, sequence_store(self.arch, n_bytes) if write else sequence_load(self.arch, n_bytes))
        self.probe.emit(Busy, unit=SEQUENCES, what=what, start_ps=start_ps, end_ps=self.env.now_ps)

    def _space_bytes(self, sequence: int) -> int:
        return min(max(layer.footprint_bytes(sequence) for layer in self.layers), self.capacity_bytes)
