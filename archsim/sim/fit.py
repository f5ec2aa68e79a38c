"""Whether a network fits the machine at all, said before anything runs."""

from __future__ import annotations

from archsim.config.specs import ArchSpec
from archsim.errors import DoesNotFitError
from archsim.ir.network import Network
from archsim.sim.memory.weights import group_bytes, least_share
from archsim.sim.work import ResidentGroup, resident_groups
from archsim.traceio.activity import PassShape
from archsim.units import BYTES_PER_HALF, ceil_div


def check_fit(network: Network, shapes: tuple[PassShape, ...], arch: ArchSpec) -> None:
    """Raise DoesNotFitError for the first pass that outgrows a unit or buffer, naming the field to raise."""
    for shape in shapes:
        for field, need, have, unit in _needs(shape, arch):
            if need > have:
                raise DoesNotFitError(f"{network.name}, {network.layers[shape.layer].name}", field, need, have, unit)
    need, group = max(((_least_bytes(arch, g), g) for g in resident_groups(shapes, arch)), key=lambda found: found[0])
    capacity = arch.weight_buffer.capacity_bytes
    if need > capacity:
        where = f"{network.name}, {network.layers[group[0].shape.layer].name}"
        raise DoesNotFitError(where, "weight_buffer.capacity_bytes", need, capacity, "bytes")


def _least_bytes(arch: ArchSpec, group: ResidentGroup) -> int:
    """The smallest weight buffer for a group: all of it, or room for a row of each part and what stays anyway."""
    total = group_bytes(arch, group)
    if arch.dispatch == "shared":  # rows that stream are one unit's own
        return total
    return min(total, max(ceil_div(least_share(arch, part) * total, part.held_bytes(arch)) for part in group))


def _needs(shape: PassShape, arch: ArchSpec) -> list[tuple[str, int, int, str]]:
    needs = [
        ("computation_units", shape.n_gates, arch.computation_units, "units"),
        ("input_buffer.capacity_bytes", shape.n_inputs * BYTES_PER_HALF, arch.input_buffer.capacity_bytes, "bytes"),
    ]
    if arch.fmu is not None:
        entries = shape.n_units * arch.fmu.memo_entry_bytes
        needs.append(("fmu.memo_buffer_bytes", entries, arch.fmu.memo_buffer_bytes, "bytes"))
    return needs
