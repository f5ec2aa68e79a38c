"""Which components a machine is made of, and its area."""

from __future__ import annotations

from archsim.config.specs import ArchSpec
from archsim.config.technology import TechnologySpec, static_scale

DELTA_PARTS = ("delta_unit", "propagated_buffer", "accumulator_buffer")
"""What only a machine for column policies has."""


def parts_of(arch: ArchSpec) -> dict[str, int]:
    """Return the number of instances of each on-chip component; a delta unit only where no memoization unit is."""
    per_unit = ["input_buffer", "dpu", "mu"]
    if arch.fmu is not None:
        per_unit += ["magnitude_buffer", "sign_bank", "fmu", "memo_buffer"]
    else:
        per_unit += ["weight_buffer", *(DELTA_PARTS if arch.delta else ())]
    return dict.fromkeys(per_unit, arch.computation_units) | {"intermediate_memory": 1}


def area_mm2(arch: ArchSpec, technology: TechnologySpec) -> dict[str, float]:
    """Return the area of each component, all instances together, in mm²."""
    areas = {}
    for component, instances in parts_of(arch).items():
        entry = technology.component(component)
        areas[component] = instances * entry.area_mm2 * static_scale(arch, entry)
    return areas
