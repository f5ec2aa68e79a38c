"""Whether a network fits the machine at all, said before anything runs."""

from __future__ import annotations

from archsim.config.specs import ArchSpec
from archsim.errors import DoesNotFitError
from archsim.ir.network import Network
from archsim.sim.actions import weight_bytes
from archsim.sim.memory.weights import group_bytes
from archsim.sim.work import resident_groups
from archsim.traceio.activity import PassShape
from archsim.units import BYTES_PER_HALF


def check_fit(network: Network, shapes: tuple[PassShape, ...], arch: ArchSpec) -> None:
    """Raise DoesNotFitError for the first pass that outgrows a unit or buffer, naming the field to raise."""
    for shape in shapes:
        for field, need, have, unit in _needs(shape, arch):
            if need > have:
                raise DoesNotFitError(f"{network.name}, {network.layers[shape.layer].name}", field, need, have, unit)
    for group in resident_groups(shapes):
        need, have = group_bytes(group), arch.weight_buffer.capacity_bytes
        if need > have:
            raise DoesNotFitError(f"{network.name}, decoder", "weight_buffer.capacity_bytes", need, have, "bytes")


def _needs(shape: PassShape, arch: ArchSpec) -> list[tuple[str, int, int, str]]:
    needs = [
        ("computation_units", shape.n_gates, arch.computation_units, "units"),
        ("weight_buffer.capacity_bytes", weight_bytes(shape), arch.weight_buffer.capacity_bytes, "bytes"),
        ("input_buffer.capacity_bytes", shape.n_inputs * BYTES_PER_HALF, arch.input_buffer.capacity_bytes, "bytes"),
    ]
    if arch.fmu is not None:
        entries = shape.n_units * arch.fmu.memo_entry_bytes
        needs.append(("fmu.memo_buffer_bytes", entries, arch.fmu.memo_buffer_bytes, "bytes"))
    return needs
