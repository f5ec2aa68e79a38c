"""Components of a machine: their actions, and the energy, leakage and area that a table gives for them."""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic import Field

from archsim.config.field import Spec

Bucket = Literal["scratchpad", "operations", "memo"]
"""Place of an action's energy in the paper's breakdown."""


class Action(NamedTuple):
    """A number of equal actions of a component."""

    component: str
    action: str
    number: int


class Reference(Spec):
    """Field of an architecture, and its value at which figures were taken."""

    field: str
    value: int = Field(ge=1)


class ActionEntry(Spec):
    """Energy of one action, and its place in the breakdown."""

    pj: float = Field(ge=0)
    bucket: Bucket
    source: str


class StaticEntry(Spec):
    """Leakage and area of one instance of a component, in proportion to the field they follow, if any."""

    leakage_mw: float = Field(ge=0)
    area_mm2: float = Field(ge=0)
    follows: Reference | None = None
    source: str


class BufferEntry(Spec):
    """Width of one access of a buffer; energy is in proportion to it, and a power law of the capacity."""

    width: Reference


class ComponentTables(Spec):
    """Entries of some components, by component and action; a technology's tables have the same form."""

    actions: dict[str, dict[str, ActionEntry]] = Field(default={})
    static: dict[str, StaticEntry] = Field(default={})
    buffers: dict[str, BufferEntry] = Field(default={})
