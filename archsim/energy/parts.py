"""Which components a machine is made of, and its area."""

from __future__ import annotations

from archsim.config.arch import ArchSpec
from archsim.config.technology import TechnologySpec, static_scale

DELTA_PARTS = ("delta_unit", "propagated_buffer", "accumulator_buffer")
"""What only a machine for column policies has."""


def parts_of(arch: ArchSpec) -> dict[str, int]:
    """Return the number of instances of each on-chip component; a delta unit only where no memoization unit is.

    A predictor of several bits has a sign bank for each, and a binary unit for each bit of an input.
    """
    per_unit = {"input_buffer": 1, "dpu": 1, "mu": 1}
    if arch.fmu is None:
        per_unit |= {"weight_buffer": 1} | dict.fromkeys(DELTA_PARTS if arch.delta else (), 1)
    else:
        per_unit |= {"magnitude_buffer": 1, "sign_bank": arch.fmu.planes}
        per_unit |= {"fmu": arch.fmu.bit_operations, "memo_buffer": 1}
        per_unit |= {"corrector": 1} if arch.fmu.correctors else {}
    per_unit |= {"crossbar": 1} if arch.dispatch == "shared" else {}
    parts = {component: number * arch.computation_units for component, number in per_unit.items()}
    return parts | {"intermediate_memory": 1}


def area_mm2(arch: ArchSpec, technology: TechnologySpec) -> dict[str, float]:
    """Return the area of each component, all instances together, in mm²."""
    areas = {}
    for component, instances in parts_of(arch).items():
        entry = technology.component(component)
        areas[component] = instances * entry.area_mm2 * static_scale(arch, entry)
    return areas
