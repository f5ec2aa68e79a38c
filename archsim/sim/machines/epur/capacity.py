"""Capacity checks of the E-PUR-like machine, made before the simulation starts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from archsim.activity import PassShape
from archsim.config.arch import ArchSpec
from archsim.errors import ConfigError
from archsim.ir.network import Network
from archsim.sim.capacity import Requirement, check_needs, check_weights, common_needs
from archsim.sim.items import WeightGroup, weight_groups
from archsim.sim.machines.machine import Machine
from archsim.sim.memory.weight_buffers import group_bytes, least_group_bytes


def check_fit(machine: Machine, network: Network, shapes: Sequence[PassShape], arch: ArchSpec) -> None:
    """Raise DoesNotFitError for the first pass that outgrows a unit or buffer, naming the field to raise.

    Raises ConfigError for a cell that a machine so configured does not compute.
    """
    for shape in shapes:
        _check_cell(network, shape, arch)
        check_needs(network, shape, _needs(shape, arch))
    sizes = ((_least_bytes(machine, arch, group), group) for group in weight_groups(shapes, arch))
    need, group = max(sizes, key=lambda pair: pair[0])
    check_weights(network, group, need, arch)


def _check_cell(network: Network, shape: PassShape, arch: ArchSpec) -> None:
    layer = network.layers[shape.layer]
    where = f"{network.name}, {layer.name}"
    if arch.dispatch == "shared" and shape.resets_before:
        waits = f"the last gate of a {layer.cell.name} waits for the first, so its units do not share work"
        raise ConfigError(f"{where}: dispatch = 'shared': {waits}: need dispatch = 'gate'")
    if arch.dispatch == "shared" and shape.n_projected:
        raise ConfigError(
            f"{where}: dispatch = 'shared': units do not share the work of a projection: need dispatch = 'gate'"
        )
    if arch.weight_buffer.banks == 1 and shape.n_projected:
        raise ConfigError(
            f"{where}: weight_buffer.banks = 1: a projection is computed with two banks or more, so that fills do not "
            "delay its reads"
        )


def _needs(shape: PassShape, arch: ArchSpec) -> Iterator[Requirement]:
    yield from common_needs(shape, arch)
    if arch.fmu is not None:
        entries = shape.n_units * arch.fmu.memo_entry_bytes
        yield Requirement("fmu.memo_buffer_bytes", entries, arch.fmu.memo_buffer_bytes, "bytes")


def _least_bytes(machine: Machine, arch: ArchSpec, group: WeightGroup) -> int:
    """Return the smallest weight buffer for a group: all of it, or less where rows can stream."""
    if arch.dispatch == "shared":  # a streamed row is in its own unit only, so no other unit could read it
        return group_bytes(machine, arch, group)
    return least_group_bytes(machine, arch, group)
