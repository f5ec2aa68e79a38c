"""Components of a computation unit of the column-skipping machine."""

from __future__ import annotations

DELTA_PARTS = ("delta_unit", "propagated_buffer", "accumulator_buffer")
"""Components that no other machine has."""


def parts_of_unit() -> dict[str, int]:
    """Return the number of instances of each component."""
    return dict.fromkeys(("input_buffer", "dpu", "mu", "weight_buffer", *DELTA_PARTS), 1)
