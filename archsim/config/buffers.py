"""On-chip buffers."""

from __future__ import annotations

from pydantic import Field

from archsim.config.field import MAX_BY_UNIT, Spec, annotated
from archsim.units import KIB, MIB


class BufferSpec(Spec):
    """An on-chip buffer of a computation unit."""

    capacity_bytes: int = Field(ge=1, le=MAX_BY_UNIT["byte"])
    port_bytes: int = annotated(32, unit="byte", source="16 lanes of binary16", certainty="D", ge=1)


class WeightBufferSpec(BufferSpec):
    """Weight buffer of a computation unit; with memoization its sign bits lie in a separate bank."""

    capacity_bytes: int = annotated(
        2 * MIB, unit="byte", source="E-PUR, PACT 2018, maximised weight locality", certainty="B", ge=1
    )
    banks: int = annotated(
        16,
        unit="banks",
        source="docs/reference/sram_bank_sweep_28nm.csv: the fewest that cycle in 2 ns with LSTP cells; "
        "words interleaved, so fills pass reads by; one bank: they contend",
        certainty="choice",
        ge=1,
    )
    stream_rows: int = annotated(
        16,
        unit="rows",
        source="as many as the memoization unit runs ahead; a delta unit's columns take as many",
        certainty="choice",
        ge=1,
        most=4096,
    )


class InputBufferSpec(BufferSpec):
    """Buffer for the joint inputs [x; h] of the current step."""

    capacity_bytes: int = annotated(8 * KIB, unit="byte", source="E-PUR, PACT 2018", certainty="B", ge=1)


class IntermediateMemorySpec(BufferSpec):
    """Shared memory for the input and output sequences of layers."""

    capacity_bytes: int = annotated(6 * MIB, unit="byte", source="E-PUR, PACT 2018", certainty="B", ge=1)
    ports: int = annotated(
        1,
        unit="ports",
        source="docs/reference/sram_named_28nm.csv: one read/write port; with more, sequences have one of their own",
        certainty="choice",
        ge=1,
    )
