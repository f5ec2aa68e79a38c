"""Capacity checks of the column-skipping machine, made before the simulation starts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from archsim.activity import PassShape
from archsim.config.arch import ArchSpec
from archsim.errors import ConfigError
from archsim.ir.cells import Cell
from archsim.ir.network import Network
from archsim.sim.capacity import Requirement, check_needs, check_weights, common_needs
from archsim.sim.items import weight_groups
from archsim.sim.machines.delta.costs import delta_of, sums_of_gates
from archsim.sim.machines.delta.tail import bank_need
from archsim.sim.machines.machine import Machine
from archsim.sim.memory.weight_buffers import least_group_bytes
from archsim.units import BYTES_PER_SUM


def check_fit(machine: Machine, network: Network, shapes: Sequence[PassShape], arch: ArchSpec) -> None:
    """Raise ConfigError for an architecture that cannot skip columns, DoesNotFitError for what outgrows a buffer.

    This machine needs two banks, so that fills do not delay its reads.
    """
    if arch.dataflow != "step":
        raise ConfigError(f"{arch.name}: dataflow = {arch.dataflow!r}: columns are skipped with 'step' only")
    if arch.weight_buffer.banks == 1:
        raise ConfigError(f"{arch.name}: weight_buffer.banks = 1: columns are skipped with two banks or more")
    for shape in shapes:
        if shape.n_projected:
            raise ConfigError(
                f"{network.name}, {network.layers[shape.layer].name}: the machine that skips columns has no rows of "
                "weights, and a projection is computed by rows: need a policy that reuses neurons, as bnn"
            )
        check_needs(network, shape, common_needs(shape, arch))
    groups = weight_groups(shapes, arch)
    for group in groups:
        check_weights(network, group, least_group_bytes(machine, arch, group), arch)
    for shape in shapes:
        check_needs(network, shape, _needs(shape, network.layers[shape.layer].cell, arch))
    if delta_of(arch).tail_bits:
        largest = max(shapes, key=lambda shape: shape.n_units * shape.n_inputs)
        check_needs(network, largest, [bank_need(arch, delta_of(arch), groups)])


def _needs(shape: PassShape, cell: Cell, arch: ArchSpec) -> Iterator[Requirement]:
    delta, propagated = delta_of(arch), arch.numbers.input_bytes(shape.n_inputs)
    yield Requirement("delta.propagated_buffer_bytes", propagated, delta.propagated_buffer_bytes, "bytes")
    sums = shape.n_units * max(sums_of_gates(arch, cell))
    yield Requirement("delta.accumulator_buffer_bytes", sums * BYTES_PER_SUM, delta.accumulator_buffer_bytes, "bytes")
