"""The delta unit of a computation unit, which skips columns of weights."""

from __future__ import annotations

from archsim.config.field import Spec, annotated
from archsim.units import KIB


class DeltaSpec(Spec):
    """Delta unit of a computation unit, for policies that skip columns; it takes the memoization unit's place."""

    width: int = annotated(
        16, unit="elements/cycle", source="a word of the input buffer a cycle", certainty="choice", ge=1
    )
    latency_cycles: int = annotated(
        3, unit="cycle", source="read, subtract, compare: one cycle each", certainty="choice", ge=1
    )
    queue_places: int = annotated(16, unit="columns", source="as many as the FMU's decisions", certainty="choice", ge=1)
    thresholds: int = annotated(
        0,
        unit="thresholds/element",
        source="SEMANTICS 1.4: 0, one θ for all elements, or 1, as the policy needs; float32 in every format, in a "
        "buffer that is as deep as that of propagated values",
        certainty="choice",
        most=1,
    )
    propagated_buffer_bytes: int = annotated(
        8 * KIB, unit="byte", source="as large as the input buffer: a binary16 an element", certainty="choice", ge=1
    )
    accumulator_buffer_bytes: int = annotated(
        8 * KIB, unit="byte", source="float32 sums of 1024 units, two each: a GRU's candidate", certainty="choice", ge=1
    )
    accumulator_port_bytes: int = annotated(
        64, unit="byte", source="16 lanes of float32, in two banks", certainty="choice", ge=1
    )

    def with_lanes(self, factor: int) -> DeltaSpec:
        """Return the unit with `factor` times as many elements per cycle, and as many sums."""
        update = {"width": self.width * factor, "accumulator_port_bytes": self.accumulator_port_bytes * factor}
        return self.model_copy(update=update)
