"""Components of a machine, and its area."""

from __future__ import annotations

from archsim.config.arch import ArchSpec
from archsim.config.technology import TechnologySpec, static_scale
from archsim.sim.actions import INTERMEDIATE_MEMORY
from archsim.sim.machines import machine_of


def parts_of(arch: ArchSpec) -> dict[str, int]:
    """Return the number of instances of each on-chip component."""
    per_unit = machine_of(arch).parts(arch)
    parts = {component: number * arch.computation_units for component, number in per_unit.items()}
    return parts | {INTERMEDIATE_MEMORY: 1}


def complete(technology: TechnologySpec, arch: ArchSpec) -> TechnologySpec:
    """Return a technology for a machine's number format, with the entries of the components that it brings along."""
    return technology.at_precision(arch.precision).extended(machine_of(arch).tables(arch))


def area_mm2(arch: ArchSpec, technology: TechnologySpec) -> dict[str, float]:
    """Return the area of each component, all instances together, in mm²."""
    areas = {}
    technology = complete(technology, arch)
    for component, instances in parts_of(arch).items():
        entry = technology.component(component)
        areas[component] = instances * entry.area_mm2 * static_scale(arch, entry)
    return areas
