"""What every part of a configuration is: a frozen record whose fields know unit, source and certainty.

`certainty` is that of docs/PAPER_FACTS.md: A read, B well remembered, C doubtful, D arithmetic; or measured with
a tool, or a choice of ours.
"""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field

from archsim.validation import FrozenRecord

MOST = {"byte": 1 << 36, "bit": 1 << 24, "ps": 1_000_000, "V": 100, "mA": 100_000, "pJ/bit": 100_000}
"""The greatest sensible value by unit; of cycles, lanes and places it is `MOST_OF_ANYTHING`."""
MOST_OF_ANYTHING = 100_000


def annotated(default: Any, *, unit: str, source: str, certainty: str, ge: int = 0, most: int | None = None) -> Any:
    """A field that knows its unit, where its value comes from, and its least and greatest sensible value."""
    most = most or MOST.get(unit, MOST_OF_ANYTHING)
    finite = None if isinstance(default, int) else False
    extra: dict[str, Any] = {"unit": unit, "source": source, "certainty": certainty}
    return Field(default, ge=ge, le=most, allow_inf_nan=finite, json_schema_extra=extra)


class Spec(FrozenRecord):
    """A frozen record that also takes no type for another."""

    model_config = ConfigDict(strict=True)
