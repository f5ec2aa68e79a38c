"""Costs of the tail: weights of B bits beside the weight buffer, multiplied by what has not entered (SEMANTICS 1.4).

A unit of multipliers and an adder tree takes one row of B-bit weights after the other; B' is the bits of a remainder's
code. AND and popcount would take B·B' bit operations per weight, which cost more from one bit on (D60).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from archsim.config.arch import ArchSpec
from archsim.config.components import Action
from archsim.config.delta_unit import DeltaSpec
from archsim.sim.actions import sequence_store
from archsim.sim.capacity import Requirement
from archsim.sim.items import PassSegment, WeightGroup
from archsim.units import BYTES_PER_SUM, ceil_div

TAIL_BANK = "tail_bank"
"""Component name of the bank of B-bit weights, laid out row by row."""
TAIL_BUFFER = "tail_buffer"
"""Component name of the buffers of factors and of tails that wait for the multi-functional unit."""
CODE_BUFFER = "code_buffer"
"""Component name of the buffer of a step's codes."""
TAIL_PARTS = (
    *(TAIL_BANK, "tail_multiplier", "tail_adder", "tail_quantiser", "tail_scaler"),
    *(CODE_BUFFER, TAIL_BUFFER),
)
"""Components that a delta unit with a tail has as well."""
TAIL_SCALERS = 2
"""Multiply-adds of a tail's factor per neuron, side by side: a GRU's candidate has two products."""
BYTES_PER_FACTOR = 4
"""Bytes of the factor κ by which the tails of a neuron are multiplied, float32."""


def code_bits(delta: DeltaSpec) -> int:
    """Return B', the bits of a remainder's code, which has a zero: with B = 1 it takes two bits."""
    return max(delta.tail_bits, 2)


def row_cycles(delta: DeltaSpec, n_inputs: int) -> int:
    """Return c_t, the cycles the tail unit is busy with a neuron; 0 without a tail."""
    return ceil_div(delta.tail_bits * n_inputs, delta.tail_width_bits)


def tails(arch: ArchSpec, n_inputs: int, n_units: int, n_products: int) -> Iterator[Action]:
    """Yield the actions of the tails of a gate in one step, from the codes to the sums that they are added to.

    n_products: products per neuron, each with a tail. Codes stay in the unit if it takes a row at once.
    """
    delta = arch.delta
    if delta is None or not delta.tail_bits:
        return
    weights = n_inputs * n_units
    code_words = ceil_div(n_inputs * code_bits(delta), delta.tail_bank_width_bits)
    factor_words = ceil_div(factor_bytes(arch, n_units), delta.accumulator_port_bytes)
    tail_words = ceil_div(n_units * n_products * BYTES_PER_SUM, delta.accumulator_port_bytes)
    yield Action("tail_quantiser", "quantise", n_inputs)
    yield Action(CODE_BUFFER, "write", code_words)
    yield Action(CODE_BUFFER, "read", code_words * (1 if row_cycles(delta, n_inputs) == 1 else n_units))
    yield Action(TAIL_BANK, "read", n_units * ceil_div(n_inputs * delta.tail_bits, delta.tail_bank_width_bits))
    yield Action("tail_multiplier", "bit_product", weights * delta.tail_bits * code_bits(delta))
    yield Action("tail_adder", "add", weights)
    yield Action(TAIL_BUFFER, "write", tail_words)
    yield Action(TAIL_BUFFER, "read", factor_words + tail_words)  # tails for the cell updates
    yield Action("tail_scaler", "mac", n_units * n_products)


def tail_bytes(arch: ArchSpec, segment: PassSegment) -> int:
    """Return the bytes of a segment's B-bit weights in one computation unit."""
    n_bits = arch.delta.tail_bits if arch.delta else 0
    return ceil_div(n_bits * segment.shape.n_units * segment.shape.n_inputs, 8)


def factor_bytes(arch: ArchSpec, n_units: int) -> int:
    """Return the bytes of the factors of a gate; 0 without a tail. All products of a neuron have one."""
    return n_units * BYTES_PER_FACTOR if arch.delta and arch.delta.tail_bits else 0


def factors_copied(arch: ArchSpec, n_units: int) -> Iterator[Action]:
    """Yield the actions of copying a gate's factors from intermediate memory to the tail buffer of a unit.

    It takes no time, because step 0 has no tail.
    """
    if arch.delta and (n_bytes := factor_bytes(arch, n_units)):
        yield from sequence_store(arch, n_bytes)
        yield Action(TAIL_BUFFER, "write", ceil_div(n_bytes, arch.delta.accumulator_port_bytes))


def tail_fill(delta: DeltaSpec, n_bits: int) -> Iterator[Action]:
    """Yield the actions of filling the tail bank with `n_bits`."""
    yield Action(TAIL_BANK, "fill", ceil_div(n_bits, delta.tail_bank_width_bits))


def tail_parts(delta: DeltaSpec) -> Mapping[str, int]:
    """Return the number of instances of each component: a multiplier per pair of bits, an adder per weight."""
    if not delta.tail_bits:
        return {}
    return {
        TAIL_BANK: delta.tail_bits,
        "tail_multiplier": delta.tail_width_bits * code_bits(delta),
        "tail_adder": ceil_div(delta.tail_width_bits, delta.tail_bits),
        "tail_quantiser": 1,
        "tail_scaler": TAIL_SCALERS,
        CODE_BUFFER: 1,
        TAIL_BUFFER: 2,
    }


def bank_need(arch: ArchSpec, delta: DeltaSpec, groups: Sequence[WeightGroup]) -> Requirement:
    """Return the bytes per bit of the tail bank that hold a bit of all weights which may be on chip at a time.

    These are a group, whatever its size, or as many weights of several groups as the weight buffer holds.
    """
    weights = [sum(segment.shape.n_units * segment.shape.n_inputs for segment in group) for group in groups]
    held = 8 * arch.weight_buffer.capacity_bytes // arch.numbers.weight_bits
    need = ceil_div(max(*weights, min(sum(weights), held)), 8)
    return Requirement("delta.tail_plane_bytes", need, delta.tail_plane_bytes, "bytes")
