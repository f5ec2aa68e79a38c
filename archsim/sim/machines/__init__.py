"""Machines by name, one folder each, behind the face `Machine` (machine.py)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from archsim.activity import ActivityRecord, PassShape
from archsim.config.arch import ArchSpec
from archsim.errors import ConfigError
from archsim.ir.network import Network
from archsim.registry import Registry
from archsim.sim.machines.delta.machine import DELTA
from archsim.sim.machines.epur.machine import EPUR
from archsim.sim.machines.machine import Compute, Detail, Machine


def _checked(machine: Any, where: str) -> Machine:
    if not isinstance(machine, Machine):
        raise ConfigError(f"{where} is no instance of archsim.sim.machines.Machine: need one")
    return machine


MACHINES: Registry[Machine] = Registry("machine", "archsim.machines", _checked)
for _machine in (EPUR, DELTA):
    MACHINES.bundle(_machine.name, _machine)
DEFAULT_MACHINE: Machine = EPUR
"""Machine of an architecture without the own unit of any machine."""


def register_machine(machine: Machine) -> Machine:
    """Make a machine known by its `name`; raise ConfigError for what is no machine, or takes a built-in name."""
    return MACHINES.register(machine, f"register_machine: {machine!r}")


def all_machines() -> Iterator[Machine]:
    """Yield the registered machines by name."""
    return (MACHINES.get(name) for name in MACHINES)


def machine_of(arch: ArchSpec) -> Machine:
    """Return the machine whose own unit an architecture has; E-PUR's baseline has none, so it is the last resort."""
    return next((machine for machine in all_machines() if machine.is_described_by(arch)), DEFAULT_MACHINE)


def check_fit(network: Network, shapes: Sequence[PassShape], arch: ArchSpec) -> None:
    """Raise DoesNotFitError for what outgrows a unit or buffer of `arch`, ConfigError if it cannot run at all."""
    machine_of(arch).check_fit(network, shapes, arch)


def machine_for(activity: ActivityRecord, arch: ArchSpec) -> Machine:
    """Return the machine that replays a record; ConfigError where `arch` describes none that can."""
    machine = machine_of(arch)
    if machine.decision_kind != activity.kind:
        # Records say what was decided, not by which machine, so the error names the first one that can replay them.
        able = next(other for other in all_machines() if other.decision_kind == activity.kind)
        raise ConfigError(f"{arch.name}: cannot replay a record of {activity.kind}: {able.requirement}")
    machine.check_record(activity, arch)
    return machine


def unit_position(label: str) -> int:
    """Return the position of a unit along its machine's data path, for sorting timeline tracks."""
    paths = [machine.unit_labels for machine in all_machines()]
    return max((path.index(label) for path in paths if label in path), default=max(map(len, paths)))


__all__ = [
    "DEFAULT_MACHINE",
    "DELTA",
    "EPUR",
    "MACHINES",
    "Compute",
    "Detail",
    "Machine",
    "all_machines",
    "check_fit",
    "machine_for",
    "machine_of",
    "register_machine",
    "unit_position",
]
