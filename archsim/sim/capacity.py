"""Checks that a network fits a machine, shared by all machines; they raise before anything runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from archsim.activity import PassShape
from archsim.config.arch import ArchSpec
from archsim.errors import DoesNotFitError
from archsim.ir.network import Network
from archsim.sim.items import WeightGroup


class Requirement(NamedTuple):
    """Amount that a pass needs of something that a field of the architecture limits."""

    field: str
    need: int
    have: int
    unit: str


def common_needs(shape: PassShape, arch: ArchSpec) -> Iterator[Requirement]:
    """Yield what a pass needs on every machine: a computation unit per gate, and room for its inputs."""
    yield Requirement("computation_units", shape.n_gates, arch.computation_units, "units")
    n_projecting = shape.n_units if shape.n_projected else 0  # values that a projection reads, beside [x; h]
    inputs = arch.numbers.input_bytes(shape.n_inputs + n_projecting)
    yield Requirement("input_buffer.capacity_bytes", inputs, arch.input_buffer.capacity_bytes, "bytes")


def check_needs(network: Network, shape: PassShape, needs: Iterable[Requirement]) -> None:
    """Raise DoesNotFitError for the first need that is not met, naming the layer and the field to raise."""
    for need in needs:
        if need.need > need.have:
            raise DoesNotFitError(f"{network.name}, {network.layers[shape.layer].name}", *need)


def check_weights(network: Network, group: WeightGroup, n_bytes: int, arch: ArchSpec) -> None:
    """Raise DoesNotFitError if the weight buffer has no room for `n_bytes` of a group."""
    capacity = arch.weight_buffer.capacity_bytes
    check_needs(network, group[0].shape, [Requirement("weight_buffer.capacity_bytes", n_bytes, capacity, "bytes")])
