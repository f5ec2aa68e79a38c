"""Costs of the E-PUR-like machine: cycles of a step, actions of its memoization units, and parts."""

from __future__ import annotations

from collections.abc import Iterator

from archsim.activity import PassShape
from archsim.config.arch import ArchSpec
from archsim.config.components import Action
from archsim.kernels.pipeline.recurrence import StepTimes
from archsim.sim.actions import INPUT_BUFFER, WEIGHT_BUFFER, sequence_store, step_transfers, weight_fill
from archsim.sim.items import PassSegment, PredictorBytes
from archsim.sim.machines.epur.shared_dispatch.costs import SHARED_PARTS
from archsim.units import ceil_div


def step_times(arch: ArchSpec, segment: PassSegment) -> StepTimes:
    """Return the constants of SEMANTICS 2.2; those of the memoization unit are zero and unused without one.

    A segment that updates no cells only passes its products on to the intermediate memory.
    """
    fmu = arch.fmu if segment.updates_cells else None
    issue = fmu.predictor.issue_cycles(fmu, segment.shape.n_inputs) if fmu else 0
    return StepTimes(
        dot_cycles=ceil_div(segment.columns, arch.dpu.lanes),  # c_d
        memo_hit_cycles=fmu.pass_on_cycles if fmu else 0,  # c_r
        dot_pipeline_cycles=arch.dpu.pipeline_cycles,  # L_d
        has_memo=fmu is not None,
        issue_cycles=issue,  # c_f
        decision_cycles=issue - 1 + fmu.latency_cycles if fmu else 0,  # c_f - 1 + L_f
        run_ahead=fmu.run_ahead if fmu else 0,  # Q
        update_interval_cycles=arch.mu.interval_cycles if segment.updates_cells else 0,  # II_m
        update_pipeline_cycles=arch.mu.pipeline_cycles if segment.updates_cells else 0,  # L_m
        result_lag=arch.mu.result_lag,  # Q_m
        writeback_cycles=arch.mu.writeback_cycles,  # L_w
        projection_cycles=_projection_cycles(arch, segment),
    )


def projection_row_cycles(arch: ArchSpec, segment: PassSegment) -> int:
    """Return c_p, the cycles a dot product unit is busy with a row of the projection."""
    return ceil_div(segment.shape.n_units, arch.dpu.lanes)


def _projection_cycles(arch: ArchSpec, segment: PassSegment) -> int:
    """Return the cycles from the written results of the cell updates to the written h; 0 without a projection."""
    if not segment.n_projected:
        return 0
    # ceil(R / G)·c_p + L_d + L_w: the first unit has the most rows
    busy = segment.projection_rows[0] * projection_row_cycles(arch, segment)
    return busy + arch.dpu.pipeline_cycles + arch.mu.writeback_cycles


def prediction(arch: ArchSpec, shape: PassShape) -> Iterator[Action]:
    """Yield the actions of a prediction, and one read and write of the memo entry.

    The entry is written in either case: drift after a reuse, product and prediction after an evaluation. A corrector
    works beside the comparator, before it is known whether its product will be taken.
    """
    if arch.fmu is None:
        return
    yield from arch.fmu.predictor.actions(arch.fmu, shape.n_inputs)
    yield Action("corrector", "mac", arch.fmu.correctors)
    yield Action("memo_buffer", "read", 1)
    yield Action("memo_buffer", "write", 1)


def input_bits(arch: ArchSpec, segment: PassSegment) -> int:
    """Return the bits of x_t that the predictor reads per step."""
    return segment.n_x * arch.predictor_planes


def predictor_bytes(arch: ArchSpec, segment: PassSegment) -> PredictorBytes:
    """Return the bytes per computation unit that the predictor reads of a segment's rows."""
    planes, n_units, n_inputs = arch.predictor_planes, segment.shape.n_units, segment.shape.n_inputs
    if arch.fmu is None or not segment.updates_cells:
        return PredictorBytes()
    constants = arch.fmu.predictor.constant_bytes(n_inputs)
    if not planes:
        return PredictorBytes(constants=constants)
    further = ceil_div((planes - 1) * n_units * n_inputs, 8)
    return PredictorBytes(
        other_signs=ceil_div(n_units * (n_inputs - segment.columns), 8),
        planes=further,
        streamed=ceil_div(n_units * n_inputs, 8) + further,
        constants=constants,
    )


def fill_actions(arch: ArchSpec, n_bytes: int, extra_bits: int) -> Iterator[Action]:
    """Yield the actions of filling a weight buffer with `n_bytes` and a sign bank with `extra_bits`."""
    yield from weight_fill(arch, n_bytes)
    if arch.fmu is not None:
        yield Action("sign_bank", "fill", ceil_div(extra_bits, arch.fmu.sign_bank_width_bits))


def step_actions(arch: ArchSpec, segment: PassSegment) -> Iterator[Action]:
    """Yield what a step moves to and from the input buffers, and what the predictors do with the inputs there."""
    yield from step_transfers(arch, segment, input_bits(arch, segment))
    if arch.fmu and segment.updates_cells:
        for action in arch.fmu.predictor.input_actions(arch.fmu, segment.shape.n_inputs):
            yield action._replace(number=action.number * segment.shape.n_gates)


def pass_actions(arch: ArchSpec, segment: PassSegment) -> Iterator[Action]:
    """Yield what the predictors of all gates do before the first step of a pass: take their constants, and the rest."""
    if arch.fmu and segment.updates_cells:
        predictor, n_inputs = arch.fmu.predictor, segment.shape.n_inputs
        constants = sequence_store(arch, predictor.constant_bytes(n_inputs))
        for action in (*constants, *predictor.pass_actions(arch.fmu, n_inputs)):
            yield action._replace(number=action.number * segment.shape.n_gates)


def parts_of_unit(arch: ArchSpec) -> dict[str, int]:
    """Return the number of instances of each component.

    Planes that a predictor keeps lie in a bank each; the first, the signs, is split off the weight buffer.
    """
    planes = arch.predictor_planes
    parts = {INPUT_BUFFER: 1, "dpu": 1, "mu": 1}
    parts |= {"magnitude_buffer": 1, "sign_bank": planes} if planes else {WEIGHT_BUFFER: 1}
    if arch.fmu is not None:
        parts |= {**arch.fmu.predictor.parts(arch.fmu), "memo_buffer": 1}
        parts |= {"corrector": 1} if arch.fmu.correctors else {}
    return parts | (SHARED_PARTS if arch.dispatch == "shared" else {})
