"""Energy, leakage and area of every component: one table per technology, each entry with its source."""

from __future__ import annotations

import tomllib
from importlib.resources import files

from pydantic import Field, ValidationError

from archsim.config.specs import ArchSpec, Spec, fields_of
from archsim.errors import ConfigError, UnknownNameError
from archsim.validation import explain

BUCKETS = ("scratchpad", "operations", "dram", "memo")


class ActionEntry(Spec):
    """Energy of one action, and where it goes in the paper's breakdown."""

    pj: float = Field(ge=0)
    bucket: str
    source: str


class StaticEntry(Spec):
    """Leakage and area of one instance of a component."""

    leakage_mw: float = Field(ge=0)
    area_mm2: float = Field(ge=0)
    sized_by: str | None = None
    """Field of the architecture that gives this buffer's capacity, e.g. `weight_buffer.capacity_bytes`."""
    for_capacity: int | None = None
    """The capacity these figures are for."""
    source: str


class ScalingEntry(Spec):
    """How a buffer's figures follow its capacity: energy by a power law, leakage and area in proportion."""

    energy_exponent: float = Field(ge=0)
    source: str


class StandbyEntry(Spec):
    """Power of the main memory while idle, while transferring, and for refresh at all times."""

    idle_mw: float = Field(ge=0)
    active_mw: float = Field(ge=0)
    refresh_mw: float = Field(ge=0)
    source: str


class TechnologySpec(Spec):
    """All entries of one technology; keys are component, then action."""

    name: str
    description: str
    actions: dict[str, dict[str, ActionEntry]]
    static: dict[str, StaticEntry]
    dram_standby: StandbyEntry
    buffer_scaling: ScalingEntry

    def action(self, component: str, action: str) -> ActionEntry:
        """Return an entry; a missing one is an error, never zero."""
        try:
            return self.actions[component][action]
        except KeyError:
            raise ConfigError(f"technology {self.name}: no energy entry for {component}.{action}") from None

    def component(self, component: str) -> StaticEntry:
        """Return leakage and area of a component; a missing one is an error."""
        try:
            return self.static[component]
        except KeyError:
            raise ConfigError(f"technology {self.name}: no leakage and area entry for {component}") from None


def load_technology(name: str) -> TechnologySpec:
    """Load a technology table of the package by name."""
    folder = files("archsim.config.technologies")
    known = [item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml")]
    if name not in known:
        raise UnknownNameError("technology", name, known)
    try:
        return TechnologySpec.model_validate(tomllib.loads((folder / f"{name}.toml").read_text("utf-8")))
    except ValidationError as error:
        raise ConfigError(f"technology {name}: {explain(error, TechnologySpec)}") from None


def capacity_ratio(arch: ArchSpec, entry: StaticEntry) -> float:
    """Return this machine's capacity of a buffer over the capacity its entry is for; 1 for what is no buffer."""
    if entry.sized_by is None or entry.for_capacity is None:
        return 1.0
    capacity, _ = fields_of(arch)[entry.sized_by]
    return float(capacity) / entry.for_capacity  # type: ignore[arg-type]
