"""Cycles of the column-skipping machine on a pass: the constants of its recurrence."""

from __future__ import annotations

from archsim.config.arch import ArchSpec
from archsim.config.delta_unit import DeltaSpec
from archsim.kernels.pipeline.columns import ColumnTimes
from archsim.sim.items import PassPart
from archsim.units import ceil_div


def column_times(arch: ArchSpec, delta: DeltaSpec, part: PassPart) -> ColumnTimes:
    """Return the constants of `archsim/kernels/pipeline/columns.py`."""
    return ColumnTimes(
        width=delta.width,
        latency_cycles=delta.latency_cycles,
        queue_places=delta.queue_places,
        column_cycles=ceil_div(part.shape.n_units, arch.dpu.lanes),
        dot_pipeline_cycles=arch.dpu.pipeline_cycles,
        update_interval_cycles=arch.mu.interval_cycles,
        update_pipeline_cycles=arch.mu.pipeline_cycles,
        writeback_cycles=arch.mu.writeback_cycles,
    )
