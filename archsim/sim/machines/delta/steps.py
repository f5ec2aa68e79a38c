"""Cycles of the column-skipping machine on a pass: the constants of its recurrence."""

from __future__ import annotations

from dataclasses import dataclass

from archsim.config.arch import ArchSpec
from archsim.config.delta_unit import DeltaSpec
from archsim.kernels.arrays import Bools
from archsim.kernels.pipeline.columns import ColumnTimes
from archsim.sim.items import PassSegment
from archsim.units import ceil_div


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
    )


@dataclass(frozen=True, eq=False)
class ColumnStepWork:
    """One time step as a computation unit that goes by columns sees it."""

    segment: PassSegment
    times: ColumnTimes
    entering: Bools
    """(N,)."""
