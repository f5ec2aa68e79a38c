"""The delta unit of a computation unit, which skips columns of weights."""

from __future__ import annotations

from archsim.config.field import Spec, annotated
from archsim.units import KIB

MAX_TAIL_BITS = 6
"""Most bits of a tail (SEMANTICS 1.4): four changes of a remainder's code times a weight's then still fit 16 bits."""


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
    tail_bits: int = annotated(
        0,
        unit="bit/weight",
        source="SEMANTICS 1.4, B: 0, no tail, or as many as the policy needs",
        certainty="choice",
        ge=0,
        most=MAX_TAIL_BITS,
    )
    tail_width_bits: int = annotated(
        2048, unit="bit/cycle", source="weights read for the tail, as wide as the FMU", certainty="choice", ge=1
    )
    tail_latency_cycles: int = annotated(
        8,
        unit="cycle",
        source="SEMANTICS 2.2, L_t: a rounding, the FMU's 5 cycles, scaling and delivery",
        certainty="choice",
        ge=1,
    )
    tail_plane_bytes: int = annotated(
        128 * KIB,
        unit="byte",
        source="per bit of the tail: a bit of each weight that 2 MiB hold in binary16",
        certainty="choice",
        ge=1,
    )
    tail_bank_width_bits: int = annotated(
        256, unit="bit", source="eight banks of 16 KiB x 256 b, as the FMU's sign bank", certainty="choice", ge=1
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

    def in_format(self, lanes: int, weights: int) -> DeltaSpec:
        """Return the unit with `lanes` times as many elements per cycle and sums, and `weights` times as many weights.

        lanes, weights: factors by which a port feeds, and a weight buffer holds, more than in binary16.
        """
        update = {
            "width": self.width * lanes,
            "accumulator_port_bytes": self.accumulator_port_bytes * lanes,
            "tail_plane_bytes": self.tail_plane_bytes * weights,
        }
        return self.model_copy(update=update)
