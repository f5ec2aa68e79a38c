"""Energy of a run in joules: actions times energy per action, plus leakage power times simulated time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from archsim.config.arch import ArchSpec
from archsim.config.technology import TechnologySpec, access_scale, static_scale
from archsim.energy.dram import command_pj
from archsim.energy.parts import complete, parts_of
from archsim.sim.memory.dram import DRAM
from archsim.units import joules, leakage_pj


@dataclass(frozen=True)
class EnergyRow:
    """Row of the energy table; `bucket` is its category in the paper's breakdown."""

    component: str
    action: str
    bucket: str
    count: int
    pj_each: float
    joules: float


def energy_rows(
    counts: Mapping[tuple[str, str], int],
    time_ps: int,
    arch: ArchSpec,
    technology: TechnologySpec,
) -> list[EnergyRow]:
    """Return all contributions to a run's energy; ConfigError for an action without an entry in the technology."""
    technology = complete(technology, arch)
    return [*_dynamic(counts, arch, technology), *_leakage(time_ps, arch, technology)]


def _row(component: str, action: str, bucket: str, count: int, pj_each: float) -> EnergyRow:
    return EnergyRow(component, action, bucket, count, pj_each, joules(count * pj_each))


def _dynamic(counts: Mapping[tuple[str, str], int], arch: ArchSpec, technology: TechnologySpec) -> Iterator[EnergyRow]:
    main_memory = command_pj(arch.dram)
    for (component, action), count in sorted(counts.items()):
        if component == DRAM:
            yield _row(component, action, DRAM, count, main_memory[action])
        else:
            entry = technology.action(component, action)
            yield _row(component, action, entry.bucket, count, entry.pj * access_scale(arch, technology, component))


def _leakage(time_ps: int, arch: ArchSpec, technology: TechnologySpec) -> Iterator[EnergyRow]:
    for component, instances in parts_of(arch).items():
        entry = technology.component(component)
        power_mw = entry.leakage_mw * static_scale(arch, entry)
        yield _row(component, "leakage", "static", instances, leakage_pj(power_mw, time_ps))
