"""Costs of the column-skipping machine: cycles of a step, actions of its units, and parts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from archsim.config.arch import ArchSpec
from archsim.config.components import Action
from archsim.config.delta_unit import DeltaSpec
from archsim.ir.cells import Cell
from archsim.kernels.arrays import Bools
from archsim.kernels.pipeline.columns import ColumnTimes
from archsim.sim.actions import INPUT_BUFFER, WEIGHT_BUFFER, sequence_store
from archsim.sim.items import PassSegment
from archsim.sim.machines.delta.tail import row_cycles, tail_parts
from archsim.sim.units.unit import MAC
from archsim.units import BYTES_PER_SUM, ceil_div

DELTA_PARTS = ("delta_unit", "propagated_buffer", "accumulator_buffer")
"""Components that no other machine has, and every delta unit has."""
THRESHOLD_BUFFER = "threshold_buffer"
"""Component that a delta unit with a threshold per input has as well."""
BYTES_PER_THRESHOLD = 4
"""Bytes of a threshold, float32: the difference of two binary16 numbers is finer than binary16."""


def delta_of(arch: ArchSpec) -> DeltaSpec:
    """Return the delta unit of an architecture that is this machine."""
    assert arch.delta is not None, "an architecture without it does not describe this machine"
    return arch.delta


def column_times(arch: ArchSpec, segment: PassSegment) -> ColumnTimes:
    """Return the constants of `archsim/kernels/pipeline/columns.py`."""
    delta = delta_of(arch)
    return ColumnTimes(
        width=delta.width,
        latency_cycles=delta.latency_cycles,
        queue_slots=delta.queue_places,
        column_cycles=ceil_div(segment.shape.n_units, arch.dpu.lanes),
        dot_pipeline_cycles=arch.dpu.pipeline_cycles,
        update_interval_cycles=arch.mu.interval_cycles,
        update_pipeline_cycles=arch.mu.pipeline_cycles,
        writeback_cycles=arch.mu.writeback_cycles,
        tail_row_cycles=row_cycles(delta, segment.shape.n_inputs),
        tail_latency_cycles=delta.tail_latency_cycles,
    )


def scan(arch: ArchSpec, delta: DeltaSpec, entering: Bools) -> Iterator[Action]:
    """Yield the actions of comparing the inputs of T steps with their propagated values; entering: (T, N).

    A word of propagated values is written back if at least one of its elements enters.
    """
    n_steps, n_inputs = entering.shape
    firsts = np.arange(0, n_inputs, delta.width)
    written = np.count_nonzero(np.logical_or.reduceat(entering, firsts, axis=1))
    words = ceil_div(arch.numbers.input_bytes(n_inputs), arch.input_buffer.port_bytes)
    yield Action(INPUT_BUFFER, "read", n_steps * words)
    yield Action("delta_unit", "compare", n_steps * n_inputs)
    yield Action("propagated_buffer", "read", n_steps * firsts.size)
    yield Action("propagated_buffer", "write", int(written))
    yield Action(THRESHOLD_BUFFER, "read", n_steps * firsts.size * delta.thresholds)


def threshold_bytes(arch: ArchSpec, n_inputs: int) -> int:
    """Return the bytes of the thresholds of a pass, one set per computation unit."""
    return n_inputs * BYTES_PER_THRESHOLD * delta_of(arch).thresholds


def thresholds_copied(arch: ArchSpec, n_inputs: int) -> Iterator[Action]:
    """Yield the actions of copying a pass's thresholds from intermediate memory to the threshold buffer of a unit.

    It takes no time, because step 0 needs no thresholds.
    """
    n_bytes = threshold_bytes(arch, n_inputs)
    yield from sequence_store(arch, n_bytes)
    yield Action(THRESHOLD_BUFFER, "write", ceil_div(n_bytes, delta_of(arch).width * BYTES_PER_THRESHOLD))


def column(arch: ArchSpec, delta: DeltaSpec, n_units: int) -> Iterator[Action]:
    """Yield the actions of adding a column of weights, times a change, to the sums of a gate's `n_units` neurons."""
    sums = ceil_div(n_units * BYTES_PER_SUM, delta.accumulator_port_bytes)
    yield Action(WEIGHT_BUFFER, "read", ceil_div(arch.numbers.weight_bytes(n_units), arch.weight_buffer.port_bytes))
    yield Action(*MAC, n_units)
    yield Action("accumulator_buffer", "read", sums)
    yield Action("accumulator_buffer", "write", sums)


def sums_of_gates(arch: ArchSpec, cell: Cell) -> list[int]:
    """Return the sums per unit in the accumulators of each gate.

    A GRU's candidate keeps its products with x and with h apart. In an integer format all gates do, because the two
    have scales of their own.
    """
    if arch.numbers.is_integer:
        return [2] * cell.n_gates
    return cell.products_per_gate


def sums_read(arch: ArchSpec, cell: Cell, n_units: int) -> Iterator[Action]:
    """Yield the reads of a step's sums by the cell updates, and their scaling in an integer format."""
    n_sums = sum(sums_of_gates(arch, cell))
    words = ceil_div(n_units * BYTES_PER_SUM, delta_of(arch).accumulator_port_bytes)
    yield Action("accumulator_buffer", "read", words * n_sums)
    if arch.numbers.is_integer:
        yield Action("mu", "multiply", n_units * n_sums)
        yield Action("mu", "add", n_units * (n_sums - cell.n_products))


def parts_of_unit(arch: ArchSpec) -> dict[str, int]:
    """Return the number of instances of each component."""
    parts = dict.fromkeys((INPUT_BUFFER, "dpu", "mu", WEIGHT_BUFFER, *DELTA_PARTS), 1)
    thresholds = {THRESHOLD_BUFFER: 1} if delta_of(arch).thresholds else {}
    return {**parts, **thresholds, **tail_parts(delta_of(arch))}
