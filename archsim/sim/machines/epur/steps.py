"""Cycles of one machine on one segment of a pass: the constants of the step recurrences."""

from __future__ import annotations

from dataclasses import dataclass

from archsim.config.arch import ArchSpec
from archsim.kernels.pipeline.recurrence import StepTimes
from archsim.sim.items import PassSegment, Streamed
from archsim.units import ceil_div


def step_times(arch: ArchSpec, segment: PassSegment) -> StepTimes:
    """Return the constants of SEMANTICS 2.2; without a memoization unit its entries are zero and unused.

    Where no cells are updated, products are only passed on to the intermediate memory.
    """
    fmu = arch.fmu if segment.updates else None
    issue = fmu.predictor.issue_cycles(fmu, segment.shape.n_inputs) if fmu else 0
    return StepTimes(
        dot_cycles=ceil_div(segment.columns, arch.dpu.lanes),
        memo_hit_cycles=fmu.pass_on_cycles if fmu else 0,
        dot_pipeline_cycles=arch.dpu.pipeline_cycles,
        has_memo=fmu is not None,
        issue_cycles=issue,
        decision_cycles=issue - 1 + fmu.latency_cycles if fmu else 0,
        run_ahead=fmu.run_ahead if fmu else 0,
        update_interval_cycles=arch.mu.interval_cycles if segment.updates else 0,
        update_pipeline_cycles=arch.mu.pipeline_cycles if segment.updates else 0,
        result_lag=arch.mu.result_lag,
        writeback_cycles=arch.mu.writeback_cycles,
    )


@dataclass(frozen=True, eq=False)
class StepWork:
    """One time step as one computation unit sees it: the decisions of its gate's neurons."""

    segment: PassSegment
    times: StepTimes
    reused: list[bool]
    """Of each neuron, in order."""
    streamed: Streamed | None

    def fetches(self, neuron: int) -> bool:
        """Whether the weights of a neuron that is evaluated come from main memory."""
        return self.streamed is not None and not self.streamed.resident[neuron]
