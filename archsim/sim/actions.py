"""Actions that all machines share, behind each event of a run; both levels of detail emit the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from archsim.config.arch import ArchSpec
from archsim.config.components import Action
from archsim.engine.probe import Probe
from archsim.engine.trace_events import ActionDone
from archsim.ir.cells import Cell
from archsim.sim.items import PassSegment, Products
from archsim.sim.units.unit import MAC
from archsim.units import BYTES_PER_SUM, ceil_div

WEIGHT_BUFFER = "weight_buffer"
"""Component name of a weight buffer, signs and magnitudes together."""
INPUT_BUFFER = "input_buffer"
"""Component name of an input buffer."""
INTERMEDIATE_MEMORY = "intermediate_memory"
"""Component name of the intermediate memory."""


def emit_actions(probe: Probe, actions: Iterable[Action], repeats: int = 1) -> None:
    """Emit each action `repeats` times over."""
    for component, action, number in actions:
        if number * repeats:
            probe.emit(ActionDone, component=component, action=action, count=number * repeats)


def evaluation(arch: ArchSpec, columns: int, n_terms: int = 1) -> Iterator[Action]:
    """Yield the actions of a dot product: each word of weights and inputs is read once, whatever the lanes.

    n_terms: parts of the product, whose sums of integers are multiplied by a scale each and added.
    A split buffer reads 3 % cheaper (D25). The baseline could be split too, so both are charged the unsplit price.
    """
    numbers = arch.numbers
    yield Action(INPUT_BUFFER, "read", ceil_div(numbers.input_bytes(columns), arch.input_buffer.port_bytes))
    yield Action(*MAC, columns)
    yield Action(WEIGHT_BUFFER, "read", ceil_div(numbers.weight_bytes(columns), arch.weight_buffer.port_bytes))
    if numbers.is_integer:
        yield Action("mu", "multiply", n_terms)
        yield Action("mu", "add", n_terms - 1)


def neuron_evaluation(arch: ArchSpec, segment: PassSegment) -> Iterator[Action]:
    """Yield the actions of evaluating a neuron of a segment."""
    return evaluation(arch, segment.columns, segment.n_terms)


def projected_row(arch: ArchSpec, segment: PassSegment) -> Iterator[Action]:
    """Yield the actions of a row of the projection, which is an element of h."""
    yield from evaluation(arch, segment.shape.n_units)
    yield from requantisation(arch, 1)


def cell_update(arch: ArchSpec, cell: Cell) -> Iterator[Action]:
    """Yield the actions of updating one hidden unit: bias, activation functions and state, and storing the result."""
    yield Action("mu", "add", cell.adds)
    yield Action("mu", "multiply", cell.multiplies)
    yield Action("mu", "exponential", cell.exponentials)
    yield from requantisation(arch, 2 if cell.resets_before else 1)  # r ⊙ h is stored too


def requantisation(arch: ArchSpec, n_values: int) -> Iterator[Action]:
    """Yield the actions of making inputs of float32 values: a multiplication and two comparisons, as additions."""
    if arch.numbers.is_integer:
        yield Action("mu", "multiply", n_values)
        yield Action("mu", "add", 2 * n_values)


def step_bytes(segment: PassSegment, input_bits: int) -> tuple[int, int]:
    """Return the bytes that a step reads from intermediate memory and writes to it.

    A pass reads x_t and writes h_t. Under `mwl` the first half writes float32 partial products and the second reads
    them. A predictor makes it read its bits of x_t again, which are `input_bits`.
    """
    x_bytes = segment.numbers.input_bytes(segment.n_x)
    h_bytes = segment.numbers.input_bytes(segment.shape.n_hidden)
    partial = segment.shape.neurons_per_step * BYTES_PER_SUM
    if segment.products is Products.INPUTS:
        return x_bytes, partial
    if segment.products is Products.RECURRENT:
        return partial + ceil_div(input_bits, 8), h_bytes
    return x_bytes, h_bytes


def step_words(arch: ArchSpec, segment: PassSegment, input_bits: int = 0) -> tuple[int, int]:
    """Return the words that a step reads from intermediate memory and writes to it.

    input_bits: bits of x_t that a predictor reads in the recurrent half.
    """
    read, written = step_bytes(segment, input_bits)
    port = arch.intermediate_memory.port_bytes
    return ceil_div(read, port), ceil_div(written, port)


def port_words(arch: ArchSpec, segment: PassSegment, input_bits: int = 0) -> int:
    """Return the words that a step moves through the port of the intermediate memory; arguments as of `step_words`."""
    read, written = step_words(arch, segment, input_bits)
    return read + written


def step_transfers(arch: ArchSpec, segment: PassSegment, input_bits: int = 0) -> Iterator[Action]:
    """Yield the words that a step moves between intermediate memory and input buffers."""
    read, written = step_words(arch, segment, input_bits)
    yield Action(INTERMEDIATE_MEMORY, "read", read)
    yield Action(INTERMEDIATE_MEMORY, "write", written)
    n_x, n_h = segment.n_x, segment.shape.n_hidden
    sizes = {Products.ALL: (n_x, n_h), Products.INPUTS: (n_x,), Products.RECURRENT: (n_h,)}[segment.products]
    words = sum(ceil_div(segment.numbers.input_bytes(n), arch.input_buffer.port_bytes) for n in sizes)
    # Each gate has an input buffer of its own, so every word is written once per gate.
    yield Action(INPUT_BUFFER, "write", words * segment.shape.n_gates)
    # A projection's inputs go to the units that have rows of it.
    m_words = ceil_div(segment.numbers.input_bytes(segment.shape.n_units), arch.input_buffer.port_bytes)
    yield Action(INPUT_BUFFER, "write", m_words * min(segment.n_projected, segment.shape.n_gates))


def weight_fill(arch: ArchSpec, n_bytes: int) -> Iterator[Action]:
    """Yield the actions of filling a weight buffer with `n_bytes`, signs included."""
    yield Action(WEIGHT_BUFFER, "fill", ceil_div(n_bytes, arch.weight_buffer.port_bytes))


def sequence_load(arch: ArchSpec, n_bytes: int) -> Iterator[Action]:
    """Yield the writes of a sequence, or of constants, into the intermediate memory."""
    yield Action(INTERMEDIATE_MEMORY, "write", ceil_div(n_bytes, arch.intermediate_memory.port_bytes))


def sequence_store(arch: ArchSpec, n_bytes: int) -> Iterator[Action]:
    """Yield the reads of a sequence, or of constants, from the intermediate memory."""
    yield Action(INTERMEDIATE_MEMORY, "read", ceil_div(n_bytes, arch.intermediate_memory.port_bytes))
