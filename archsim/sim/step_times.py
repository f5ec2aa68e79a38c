"""Cycles of one machine on one pass: the constants of the step recurrence, from spec and shape."""

from __future__ import annotations

from archsim.config.specs import ArchSpec
from archsim.kernels.timing import StepTimes
from archsim.traceio.activity import PassShape
from archsim.units import ceil_div


def step_times(arch: ArchSpec, shape: PassShape) -> StepTimes:
    """Return the constants of SEMANTICS 2.2; without a memoization unit its entries are zero and unused."""
    fmu = arch.fmu
    issue = ceil_div(shape.n_inputs, fmu.width_bits) if fmu else 0
    return StepTimes(
        dot_cycles=ceil_div(shape.n_inputs, arch.dpu.lanes),
        pass_on_cycles=fmu.pass_on_cycles if fmu else 0,
        dot_pipeline_cycles=arch.dpu.pipeline_cycles,
        has_memo=fmu is not None,
        issue_cycles=issue,
        decision_cycles=issue - 1 + fmu.latency_cycles if fmu else 0,
        run_ahead=fmu.run_ahead if fmu else 0,
        update_interval_cycles=arch.mu.interval_cycles,
        update_pipeline_cycles=arch.mu.pipeline_cycles,
        result_lag=arch.mu.result_lag,
        writeback_cycles=arch.mu.writeback_cycles,
    )
