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
from archsim.units import BYTES_PER_FP16, BYTES_PER_SUM, ceil_div


def emit_actions(probe: Probe, actions: Iterable[Action], repeats: int = 1) -> None:
    """Emit each action `repeats` times over."""
    for component, action, number in actions:
        if number * repeats:
            probe.emit(ActionDone, component=component, action=action, count=number * repeats)


def evaluation(arch: ArchSpec, columns: int) -> Iterator[Action]:
    """Yield the actions of a dot product: each word of weights and inputs is read once, whatever the lanes.

    A word costs the same with and without memoization: a split weight buffer reads magnitudes and signs apart a little
    cheaper, but any machine could have it, so nothing of that is credited to reuse.
    """
    n_bytes = columns * BYTES_PER_FP16
    yield Action("input_buffer", "read", ceil_div(n_bytes, arch.input_buffer.port_bytes))
    yield Action(*MAC, columns)
    yield Action("weight_buffer", "read", ceil_div(n_bytes, arch.weight_buffer.port_bytes))


def cell_update(cell: Cell) -> Iterator[Action]:
    """Yield the actions of updating one hidden unit: bias, activation functions and state."""
    yield Action("mu", "add", cell.adds)
    yield Action("mu", "multiply", cell.multiplies)
    yield Action("mu", "exponential", cell.exponentials)


def step_bytes(arch: ArchSpec, segment: PassSegment) -> tuple[int, int]:
    """Return the bytes that a step reads from intermediate memory and writes to it.

    A pass reads x_t and writes h_t. In two halves, partial products of all gates, float32, lie there in between; a
    predictor reads the bits it takes of x_t once more.
    """
    n_x, n_h = segment.shape.n_inputs - segment.shape.n_units, segment.shape.n_units
    partial = segment.shape.neurons_per_step * BYTES_PER_SUM
    if segment.products is Products.INPUTS:
        return n_x * BYTES_PER_FP16, partial
    if segment.products is Products.RECURRENT:
        bits = n_x * arch.predictor_planes
        return partial + ceil_div(bits, 8), n_h * BYTES_PER_FP16
    return n_x * BYTES_PER_FP16, n_h * BYTES_PER_FP16


def step_words(arch: ArchSpec, segment: PassSegment) -> tuple[int, int]:
    """Return the words that a step reads from intermediate memory and writes to it."""
    read, written = step_bytes(arch, segment)
    port = arch.intermediate_memory.port_bytes
    return ceil_div(read, port), ceil_div(written, port)


def step_transfers(arch: ArchSpec, segment: PassSegment) -> Iterator[Action]:
    """Yield what a step moves between intermediate memory and input buffers."""
    read, written = step_words(arch, segment)
    yield Action("intermediate_memory", "read", read)
    yield Action("intermediate_memory", "write", written)
    n_x, n_h = segment.shape.n_inputs - segment.shape.n_units, segment.shape.n_units
    sizes = {Products.ALL: (n_x, n_h), Products.INPUTS: (n_x,), Products.RECURRENT: (n_h,)}[segment.products]
    words = sum(ceil_div(n * BYTES_PER_FP16, arch.input_buffer.port_bytes) for n in sizes)
    yield Action("input_buffer", "write", words * segment.shape.n_gates)


def weight_fill(arch: ArchSpec, n_bytes: int, extra_bits: int = 0) -> Iterator[Action]:
    """Yield the fills of weight buffers, signs included, and of sign banks with further bits for a predictor."""
    yield Action("weight_buffer", "fill", ceil_div(n_bytes, arch.weight_buffer.port_bytes))
    if arch.fmu is not None:
        yield Action("sign_bank", "fill", ceil_div(extra_bits, arch.fmu.sign_bank_width_bits))


def sequence_load(arch: ArchSpec, n_bytes: int) -> Iterator[Action]:
    """Yield the writes of a sequence into the intermediate memory."""
    yield Action("intermediate_memory", "write", ceil_div(n_bytes, arch.intermediate_memory.port_bytes))


def sequence_store(arch: ArchSpec, n_bytes: int) -> Iterator[Action]:
    """Yield the reads of a sequence from the intermediate memory."""
    yield Action("intermediate_memory", "read", ceil_div(n_bytes, arch.intermediate_memory.port_bytes))
