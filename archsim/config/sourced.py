"""What every part of a configuration is: a frozen record whose fields know unit, source and certainty.

`certainty` is that of docs/PAPER_FACTS.md: A read, B well remembered, C doubtful, D arithmetic; or measured with
a tool, or a choice of ours.
"""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field

from archsim.validation import FrozenRecord


def sourced(default: Any, *, unit: str, source: str, certainty: str, ge: int = 0) -> Any:
    """A field that knows its unit, where its value comes from, and its least sensible value."""
    return Field(default, ge=ge, json_schema_extra={"unit": unit, "source": source, "certainty": certainty})


class Spec(FrozenRecord):
    """A frozen record that also takes no type for another."""

    model_config = ConfigDict(strict=True)
