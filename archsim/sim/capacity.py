"""Whether a network fits the machine at all, said before anything runs."""

from __future__ import annotations

from archsim.activity import PassShape
from archsim.config.arch import ArchSpec
from archsim.config.delta_unit import DeltaSpec
from archsim.errors import ConfigError, DoesNotFitError
from archsim.ir.cells import Cell
from archsim.ir.network import Network
from archsim.sim.items import ResidentGroup, resident_groups
from archsim.sim.memory.weight_buffers import group_bytes, least_stream_bytes
from archsim.units import BYTES_PER_FP16, BYTES_PER_SUM, ceil_div


def check_fit(network: Network, shapes: tuple[PassShape, ...], arch: ArchSpec) -> None:
    """Raise DoesNotFitError for the first pass that outgrows a unit or buffer, naming the field to raise."""
    for shape in shapes:
        for wanted in _needs(shape, arch):
            _check(network, shape, *wanted)
    need, group = max(((_least_bytes(arch, g), g) for g in resident_groups(shapes, arch)), key=lambda found: found[0])
    _check_weights(network, group, need, arch)


def check_columns(network: Network, shapes: tuple[PassShape, ...], arch: ArchSpec) -> None:
    """Raise ConfigError for a machine that cannot skip columns, DoesNotFitError for what it cannot hold.

    Columns are neither streamed from main memory, nor do they wait for a bank that is being filled.
    """
    if arch.delta is None or arch.fmu is not None:
        raise ConfigError(f"{arch.name}: columns are skipped by a delta unit, in the place of the fmu")
    if arch.dataflow != "step":
        raise ConfigError(f"{arch.name}: dataflow = {arch.dataflow!r}: columns are skipped with 'step' only")
    if arch.weight_buffer.banks == 1:
        raise ConfigError(f"{arch.name}: weight_buffer.banks = 1: columns are skipped with two banks or more")
    for group in resident_groups(shapes, arch):
        _check_weights(network, group, group_bytes(arch, group), arch)
    for shape in shapes:
        for wanted in _column_needs(shape, network.layers[shape.layer].cell, arch.delta):
            _check(network, shape, *wanted)


def _check_weights(network: Network, group: ResidentGroup, need: int, arch: ArchSpec) -> None:
    capacity = arch.weight_buffer.capacity_bytes
    _check(network, group[0].shape, "weight_buffer.capacity_bytes", need, capacity, "bytes")


def _check(network: Network, shape: PassShape, field: str, need: int, have: int, unit: str) -> None:
    if need > have:
        raise DoesNotFitError(f"{network.name}, {network.layers[shape.layer].name}", field, need, have, unit)


def _least_bytes(arch: ArchSpec, group: ResidentGroup) -> int:
    """The smallest weight buffer for a group: all of it, or room for a row of each part and what stays anyway."""
    total = group_bytes(arch, group)
    if arch.dispatch == "shared":  # rows that stream are one unit's own
        return total
    return min(total, max(ceil_div(least_stream_bytes(arch, part) * total, part.held_bytes(arch)) for part in group))


def _needs(shape: PassShape, arch: ArchSpec) -> list[tuple[str, int, int, str]]:
    needs = [
        ("computation_units", shape.n_gates, arch.computation_units, "units"),
        ("input_buffer.capacity_bytes", shape.n_inputs * BYTES_PER_FP16, arch.input_buffer.capacity_bytes, "bytes"),
    ]
    if arch.fmu is not None:
        entries = shape.n_units * arch.fmu.memo_entry_bytes
        needs.append(("fmu.memo_buffer_bytes", entries, arch.fmu.memo_buffer_bytes, "bytes"))
    return needs


def _column_needs(shape: PassShape, cell: Cell, delta: DeltaSpec) -> list[tuple[str, int, int, str]]:
    # One unit has both products of a GRU's candidate.
    sums = shape.n_units * (1 + cell.n_products - cell.n_gates)
    return [
        ("delta.propagated_buffer_bytes", shape.n_inputs * BYTES_PER_FP16, delta.propagated_buffer_bytes, "bytes"),
        ("delta.accumulator_buffer_bytes", sums * BYTES_PER_SUM, delta.accumulator_buffer_bytes, "bytes"),
    ]
