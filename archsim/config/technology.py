"""Energy, leakage and area of every component: one table per technology, with a source for each entry."""

from __future__ import annotations

import math
import tomllib
from functools import cache
from operator import attrgetter

from pydantic import Field, ValidationError

from archsim.config.arch import ArchSpec
from archsim.config.components import ActionEntry, BufferEntry, ComponentTables, Reference, StaticEntry
from archsim.config.field import Spec
from archsim.config.precision import MachineFormat
from archsim.errors import ConfigError, UnknownNameError
from archsim.files import bundled_tables
from archsim.validation import explain

TABLES = "archsim.config.technologies"


class ScalingEntry(Spec):
    """Exponent of a buffer's capacity in the energy of an access."""

    energy_exponent: float = Field(ge=0)
    source: str


class TechnologySpec(Spec):
    """Entries of one technology, by component, then action."""

    name: str
    description: str
    actions: dict[str, dict[str, ActionEntry]]
    static: dict[str, StaticEntry]
    buffers: dict[str, BufferEntry]
    buffer_scaling: ScalingEntry
    precision: MachineFormat = "fp16"
    """Number format that the entries are for."""
    precisions: dict[MachineFormat, ComponentTables] = Field(default={})
    """Entries of other number formats, where they differ."""

    def at_precision(self, precision: MachineFormat) -> TechnologySpec:
        """Return the table for machines of a number format; ConfigError if it has no entries for it."""
        if precision == self.precision:
            return self
        if precision not in self.precisions:
            raise ConfigError(f"technology {self.name}: no entries for precision {precision}")
        tables = self.precisions[precision]
        return self.model_copy(
            update={
                "precision": precision,
                "precisions": {},
                "actions": self.actions | {c: self.actions[c] | entries for c, entries in tables.actions.items()},
                "static": self.static | tables.static,
                "buffers": self.buffers | tables.buffers,
            }
        )

    def action(self, component: str, action: str) -> ActionEntry:
        """Return the entry of an action; ConfigError if it is missing, because energy must never be zero silently."""
        try:
            return self.actions[component][action]
        except KeyError:
            raise ConfigError(f"technology {self.name}: no energy entry for {component}.{action}") from None

    def with_energy(self, component: str, action: str, pj: float) -> TechnologySpec:
        """Return a copy with another energy for one action."""
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
        """Return leakage and area of a component; ConfigError if the entry is missing."""
        try:
            return self.static[component]
        except KeyError:
            raise ConfigError(f"technology {self.name}: no leakage and area entry for {component}") from None


@cache
def load_technology(name: str) -> TechnologySpec:
    """Load a bundled technology table by name, once per process."""
    tables = bundled_tables(TABLES)
    if name not in tables:
        raise UnknownNameError("technology", name, tables)
    try:
        return TechnologySpec.model_validate(tomllib.loads(tables[name].read_text("utf-8")))
    except ValidationError as error:
        raise ConfigError(f"technology {name}: {explain(error, TechnologySpec)}") from None


def static_scale(arch: ArchSpec, entry: StaticEntry) -> float:
    """Return the factor of this machine on a component's leakage and area."""
    return _ratio(arch, entry.follows)


def access_scale(arch: ArchSpec, technology: TechnologySpec, component: str) -> float:
    """Return the factor of this machine on the energy of a component's actions, 1 unless it is a buffer."""
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
