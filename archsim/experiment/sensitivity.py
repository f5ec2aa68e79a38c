"""Sensitivity of an energy saving: the same counted actions and times, costed with other plausible constants."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product

from archsim.config.technology import TechnologySpec, load_technology
from archsim.config.uncertainty import UncertainConstants, uncertain_constants
from archsim.energy.ledger import energy_rows
from archsim.experiment.simulated_run import CostedRun
from archsim.sim.machines import machine_of


@dataclass(frozen=True)
class Saving:
    """Energy saving for one choice of constants."""

    technology: str
    mac_pj: float
    dram_pj_per_bit: float
    saving: float
    few_bits: float = 1.0
    """Factor on the energy of weights of few bits, of reading and of multiplying them."""


@dataclass(frozen=True)
class Sensitivity:
    """Energy saving of one run over the plausible ranges of uncertain constants."""

    nominal: Saving
    """Saving with the configured constants."""
    alone: list[Saving]
    """Savings with one constant at one end of its range, the others as configured."""
    corners: list[Saving]
    """Savings for every combination of ends."""

    @cached_property
    def lowest(self) -> Saving:
        """Lowest saving of all."""
        return min([self.nominal, *self.alone, *self.corners], key=lambda one: one.saving)

    @cached_property
    def highest(self) -> Saving:
        """Highest saving of all."""
        return max([self.nominal, *self.alone, *self.corners], key=lambda one: one.saving)


def vary_constants(policy: CostedRun, baseline: CostedRun, technology: TechnologySpec) -> Sensitivity:
    """Cost a run and its baseline with each choice of constants, without a new simulation; return the savings."""
    pair = _CostedPair(policy, baseline)
    ranges, bit = uncertain_constants(), policy.arch.dram.transfer_pj_per_bit
    precision = policy.arch.precision
    mac_range = ranges.mac_pj[precision]
    mac = technology.at_precision(precision).action(*machine_of(policy.arch).mac_action).pj
    counted = any(policy.counts.get(key, 0) for key in machine_of(policy.arch).few_bits)
    factors = (ranges.few_bits.low, ranges.few_bits.high) if counted else ()
    return Sensitivity(
        nominal=pair.saving(technology, mac, bit),
        alone=[
            *_alone(pair, technology, mac, bit, ranges),
            *(pair.saving(technology, mac, bit, factor) for factor in factors),
        ],
        corners=[
            pair.saving(load_technology(name), mac_pj, pj_per_bit, factor)
            for name, mac_pj, pj_per_bit, factor in product(
                ranges.technologies,
                (mac_range.low, mac_range.high),
                (ranges.dram_pj_per_bit.low, ranges.dram_pj_per_bit.high),
                factors or (1.0,),
            )
        ],
    )


def _alone(
    pair: _CostedPair, technology: TechnologySpec, mac: float, bit: float, ranges: UncertainConstants
) -> Iterator[Saving]:
    for name in ranges.technologies:
        if name != technology.name:
            yield pair.saving(load_technology(name), mac, bit)
    mac_range = ranges.mac_pj[pair.policy.arch.precision]
    for mac_pj in (mac_range.low, mac_range.high):
        yield pair.saving(technology, mac_pj, bit)
    for pj_per_bit in (ranges.dram_pj_per_bit.low, ranges.dram_pj_per_bit.high):
        yield pair.saving(technology, mac, pj_per_bit)


@dataclass(frozen=True)
class _CostedPair:
    """Run of a policy with its baseline."""

    policy: CostedRun
    baseline: CostedRun

    def saving(self, technology: TechnologySpec, mac_pj: float, pj_per_bit: float, few_bits: float = 1.0) -> Saving:
        """Return the saving with other constants."""
        policy, baseline = (
            _joules(side, technology, mac_pj, pj_per_bit, few_bits) for side in (self.policy, self.baseline)
        )
        return Saving(technology.name, mac_pj, pj_per_bit, 1 - policy / baseline, few_bits)


def _joules(costed: CostedRun, technology: TechnologySpec, mac_pj: float, pj_per_bit: float, few_bits: float) -> float:
    machine, technology = machine_of(costed.arch), technology.at_precision(costed.arch.precision)
    # A corrector multiplies binary16 in every format, so only in fp16 does it cost what a lane does.
    multipliers = (machine.mac_action,) if costed.arch.numbers.is_integer else machine.multipliers
    for component, action in multipliers:
        technology = technology.with_energy(component, action, mac_pj)
    for key in machine.few_bits:
        technology = technology.with_energy(*key, technology.action(*key).pj * few_bits)
    arch = costed.arch.replace("dram.transfer_pj_per_bit", pj_per_bit)
    return math.fsum(row.joules for row in energy_rows(costed.counts, costed.run.time_ps, arch, technology))
