"""Energy, leakage and area of every component: one table per technology, each entry with its source."""

from __future__ import annotations

import math
import tomllib
from functools import cache
from operator import attrgetter

from pydantic import Field, ValidationError

from archsim.config.arch import ArchSpec
from archsim.config.components import ActionEntry, BufferEntry, ComponentTables, Reference, StaticEntry
from archsim.config.field import Spec
from archsim.errors import ConfigError, UnknownNameError
from archsim.files import bundled_tables
from archsim.validation import explain

TABLES = "archsim.config.technologies"


class ScalingEntry(Spec):
    """How the energy of an access follows a buffer's capacity."""

    energy_exponent: float = Field(ge=0)
    source: str


class TechnologySpec(Spec):
    """All entries of one technology; keys are component, then action."""

    name: str
    description: str
    actions: dict[str, dict[str, ActionEntry]]
    static: dict[str, StaticEntry]
    buffers: dict[str, BufferEntry]
    buffer_scaling: ScalingEntry

    def action(self, component: str, action: str) -> ActionEntry:
        """Return an entry; a missing one is an error, never zero."""
        try:
            return self.actions[component][action]
        except KeyError:
            raise ConfigError(f"technology {self.name}: no energy entry for {component}.{action}") from None

    def with_energy(self, component: str, action: str, pj: float) -> TechnologySpec:
        """Return a copy in which one action costs something else."""
        entry = self.action(component, action).model_copy(update={"pj": pj})
        actions = self.actions | {component: self.actions[component] | {action: entry}}
        return self.model_copy(update={"actions": actions})

    def extended(self, tables: ComponentTables) -> TechnologySpec:
        """Return a copy that also has the entries of `tables`, where it has none of its own."""
        added = {name: entries | self.actions.get(name, {}) for name, entries in tables.actions.items()}
        return self.model_copy(
            update={
                "actions": self.actions | added,
                "static": tables.static | self.static,
                "buffers": tables.buffers | self.buffers,
            }
        )

    def component(self, component: str) -> StaticEntry:
        """Return leakage and area of a component; a missing one is an error."""
        try:
            return self.static[component]
        except KeyError:
            raise ConfigError(f"technology {self.name}: no leakage and area entry for {component}") from None


@cache
def load_technology(name: str) -> TechnologySpec:
    """Load a technology table of the package by name, once a process."""
    tables = bundled_tables(TABLES)
    if name not in tables:
        raise UnknownNameError("technology", name, tables)
    try:
        return TechnologySpec.model_validate(tomllib.loads(tables[name].read_text("utf-8")))
    except ValidationError as error:
        raise ConfigError(f"technology {name}: {explain(error, TechnologySpec)}") from None


def static_scale(arch: ArchSpec, entry: StaticEntry) -> float:
    """Return this machine's factor on a component's leakage and area."""
    return _ratio(arch, entry.follows)


def access_scale(arch: ArchSpec, technology: TechnologySpec, component: str) -> float:
    """Return this machine's factor on the energy of an action; 1 for what is no buffer."""
    if component not in technology.buffers:
        return 1.0
    width = _ratio(arch, technology.buffers[component].width)
    capacity = _ratio(arch, technology.component(component).follows)
    return width * math.pow(capacity, technology.buffer_scaling.energy_exponent)


def _ratio(arch: ArchSpec, reference: Reference | None) -> float:
    if reference is None:
        return 1.0
    value: int = attrgetter(reference.field)(arch)
    return value / reference.value
