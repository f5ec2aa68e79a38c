"""Whether a network fits the machine at all, said before anything runs."""

from __future__ import annotations

from archsim.config.specs import ArchSpec
from archsim.errors import DoesNotFitError
from archsim.ir.network import Network
from archsim.sim.actions import memo_entry_bytes, weight_bytes
from archsim.traceio.activity import PassShape
from archsim.units import BYTES_PER_HALF


def check_fit(network: Network, shapes: tuple[PassShape, ...], arch: ArchSpec) -> None:
    """Raise DoesNotFitError for the first pass that outgrows a unit or buffer, with what would help."""
    for shape in shapes:
        layer = network.layers[shape.layer]
        where = f"{network.name}, {layer.name}"
        for buffer, need, have in _needs(shape, memo_entry_bytes(layer.cell), arch):
            if need > have:
                raise DoesNotFitError(where, buffer, need, have, f"raise {buffer} or choose another architecture")


def _needs(shape: PassShape, entry_bytes: int, arch: ArchSpec) -> list[tuple[str, int, int]]:
    needs = [
        ("computation_units", shape.n_gates, arch.computation_units),
        ("weight_buffer.capacity_bytes", weight_bytes(shape), arch.weight_buffer.capacity_bytes),
        ("input_buffer.capacity_bytes", shape.n_inputs * BYTES_PER_HALF, arch.input_buffer.capacity_bytes),
    ]
    if arch.fmu is not None:
        needs.append(("fmu.memo_buffer_bytes", shape.n_units * entry_bytes, arch.fmu.memo_buffer_bytes))
    return needs
