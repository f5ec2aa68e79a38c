"""Base of all parts of a configuration: a frozen record whose fields know unit, source and certainty.

`certainty` is a letter of docs/PAPER_FACTS.md (A read, B well remembered, C doubtful, D arithmetic), or says that the
value was measured with a tool or is a choice of ours.
"""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field

from archsim.validation import FrozenRecord

MAX_BY_UNIT = {"byte": 1 << 36, "bit": 1 << 24, "ps": 1_000_000, "V": 100, "mA": 100_000, "pJ/bit": 100_000}
"""Largest sensible value by unit."""
MAX_OTHER = 100_000
"""Largest sensible value of cycles, lanes, slots and other units."""


def annotated(default: Any, *, unit: str, source: str, certainty: str, ge: int = 0, most: int | None = None) -> Any:
    """Return a pydantic field with unit, source and certainty of its value, limited to `ge` up to `most`."""
    most = most or MAX_BY_UNIT.get(unit, MAX_OTHER)
    finite = None if isinstance(default, int) else False
    extra: dict[str, Any] = {"unit": unit, "source": source, "certainty": certainty}
    return Field(default, ge=ge, le=most, allow_inf_nan=finite, json_schema_extra=extra)


class Spec(FrozenRecord):
    """Frozen record that converts no type to another."""

    model_config = ConfigDict(strict=True)
