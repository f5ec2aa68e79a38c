"""Actions of the delta unit and of its sums, beside those that all machines share."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from archsim.config.arch import ArchSpec
from archsim.config.components import Action
from archsim.config.delta_unit import DeltaSpec
from archsim.ir.cells import Cell
from archsim.kernels.arrays import Bools
from archsim.units import BYTES_PER_FP16, BYTES_PER_SUM, ceil_div


def scan(arch: ArchSpec, delta: DeltaSpec, entering: Bools) -> Iterator[Action]:
    """Inputs of some steps, (T, N), against what was last propagated of each.

    A word of propagated values is written back if an element of it enters.
    """
    n_steps, n_inputs = entering.shape
    firsts = np.arange(0, n_inputs, delta.width)
    written = np.count_nonzero(np.logical_or.reduceat(entering, firsts, axis=1))
    words = ceil_div(n_inputs * BYTES_PER_FP16, arch.input_buffer.port_bytes)
    yield Action("input_buffer", "read", n_steps * words)
    yield Action("delta_unit", "compare", n_steps * n_inputs)
    yield Action("propagated_buffer", "read", n_steps * firsts.size)
    yield Action("propagated_buffer", "write", int(written))


def column(arch: ArchSpec, delta: DeltaSpec, n_units: int) -> Iterator[Action]:
    """A column of weights times a change, added to the sums of all neurons of a gate."""
    sums = ceil_div(n_units * BYTES_PER_SUM, delta.accumulator_port_bytes)
    yield Action("weight_buffer", "read", ceil_div(n_units * BYTES_PER_FP16, arch.weight_buffer.port_bytes))
    yield Action("dpu", "mac", n_units)
    yield Action("accumulator_buffer", "read", sums)
    yield Action("accumulator_buffer", "write", sums)


def sums_read(delta: DeltaSpec, cell: Cell, n_units: int) -> Iterator[Action]:
    """The sums of a step, for the update of its cells: all gates, both parts of a GRU's candidate."""
    words = ceil_div(n_units * BYTES_PER_SUM, delta.accumulator_port_bytes)
    yield Action("accumulator_buffer", "read", words * cell.n_products)
