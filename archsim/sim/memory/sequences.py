"""Intermediate memory: input and output sequences of layers, loaded ahead and stored behind (SEMANTICS 2.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import simpy

from archsim.config.specs import ArchSpec
from archsim.engine.environment import Engine
from archsim.engine.port import Port
from archsim.engine.probe import Probe
from archsim.ir.network import Network
from archsim.sim.actions import emit_actions, sequence_load, sequence_spill, sequence_store
from archsim.sim.memory.dram import MainMemory
from archsim.sim.units.wires import Process
from archsim.traceio.activity import ActivityRecord
from archsim.units import BYTES_PER_HALF


@dataclass(frozen=True)
class LayerTraffic:
    """What a layer reads, writes and needs kept, in bytes per sequence."""

    inputs: list[int]
    outputs: list[int]
    kept: list[int]
    """The encoded sequence that a decoder looks back at; 0 elsewhere."""

    def held_bytes(self, sequence: int) -> int:
        """What has to lie in the memory while the layer runs."""
        return self.inputs[sequence] + self.outputs[sequence] + self.kept[sequence]


def layer_traffic(network: Network, activity: ActivityRecord) -> list[LayerTraffic]:
    """The traffic of each layer in a run."""
    traffic: list[LayerTraffic] = []
    kept = [0] * activity.n_sequences
    for index, layer in enumerate(network.layers):
        if index == len(network.encoder):
            kept = traffic[-1].outputs
        steps = activity.steps(activity.shape(index, 0))
        inputs, outputs = ([n * size * BYTES_PER_HALF for n in steps] for size in (layer.input_size, layer.output_size))
        traffic.append(LayerTraffic(inputs, outputs, kept))
    return traffic


class IntermediateMemory:
    """Holds a sequence's largest layer, input and output together, from its loading to its storing.

    What does not fit spills: it is written to main memory and read back while the layer runs.
    """

    def __init__(
        self,
        env: Engine,
        arch: ArchSpec,
        layers: Sequence[LayerTraffic],
        *,
        dram: MainMemory,
        base_address_bytes: int,
        probe: Probe,
    ) -> None:
        self.env, self.arch, self.layers = env, arch, layers
        self.dram, self.base_address_bytes, self.probe = dram, base_address_bytes, probe
        self.capacity_bytes = arch.intermediate_memory.capacity_bytes
        self.free_bytes = simpy.Container(env, capacity=self.capacity_bytes, init=self.capacity_bytes)
        self.loaded: Port[int] = Port(env)
        self.stores: list[simpy.Event] = []
        env.process(self._load_all())

    def spill(self, layer: int, sequence: int) -> list[simpy.Event]:
        """Start the traffic of what this layer cannot keep on chip; no event where everything fits."""
        excess = self.layers[layer].held_bytes(sequence) - self.capacity_bytes
        return [self.env.process(self._spill(excess, f"spill of sequence {sequence}"))] if excess > 0 else []

    def store(self, sequence: int) -> None:
        """Send the top layer's outputs to main memory and free the sequence's place."""
        self.stores.append(self.env.process(self._store(sequence)))

    def all_stored(self) -> simpy.Event:
        """An event that fires when every store so far is done."""
        return self.env.all_of(self.stores)

    def _load_all(self) -> Process:
        for sequence, n_bytes in enumerate(self.layers[0].inputs):
            yield self.free_bytes.get(self._place_bytes(sequence))
            yield self.dram.transfer(self.base_address_bytes, n_bytes, what=f"inputs of sequence {sequence}")
            emit_actions(self.probe, sequence_load(self.arch, n_bytes))
            self.loaded.send(sequence)

    def _store(self, sequence: int) -> Process:
        n_bytes = self.layers[-1].outputs[sequence]
        emit_actions(self.probe, sequence_store(self.arch, n_bytes))
        what = f"outputs of sequence {sequence}"
        yield self.dram.transfer(self.base_address_bytes, n_bytes, what=what, write=True)
        yield self.free_bytes.put(self._place_bytes(sequence))

    def _spill(self, n_bytes: int, what: str) -> Process:
        yield self.dram.transfer(self.base_address_bytes, n_bytes, what=what, write=True)
        yield self.dram.transfer(self.base_address_bytes, n_bytes, what=what)
        emit_actions(self.probe, sequence_spill(self.arch, n_bytes))

    def _place_bytes(self, sequence: int) -> int:
        return min(max(layer.held_bytes(sequence) for layer in self.layers), self.capacity_bytes)
