"""Which components a machine is made of, and its area."""

from __future__ import annotations

from archsim.config.specs import ArchSpec
from archsim.config.technology import TechnologySpec, static_scale


def parts_of(arch: ArchSpec) -> dict[str, int]:
    """Return the number of instances of each on-chip component."""
    per_unit = ["input_buffer", "dpu", "mu"]
    per_unit += ["weight_buffer"] if arch.fmu is None else ["magnitude_buffer", "sign_bank", "fmu", "memo_buffer"]
    per_unit += ["crossbar"] if arch.dispatch == "shared" else []
    return dict.fromkeys(per_unit, arch.computation_units) | {"intermediate_memory": 1}


def area_mm2(arch: ArchSpec, technology: TechnologySpec) -> dict[str, float]:
    """Return the area of each component, all instances together, in mm²."""
    areas = {}
    for component, instances in parts_of(arch).items():
        entry = technology.component(component)
        areas[component] = instances * entry.area_mm2 * static_scale(arch, entry)
    return areas
