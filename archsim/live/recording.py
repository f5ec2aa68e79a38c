"""Record of what has gone through one part of a model: inputs, initial states, decisions, change of the outputs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from archsim.activity import ActivityRecord, PassKey, pass_shapes
from archsim.inference.comparison import output_change
from archsim.inference.encoder_run import States
from archsim.inference.run import InferenceResult
from archsim.ir.layers import State
from archsim.ir.network import Network
from archsim.kernels.arrays import F32, F64
from archsim.policies import Policy, kind_of, saves_work
from archsim.traceio.trace import Trace


@dataclass(frozen=True, eq=False)
class Recorded:
    """Sequences that went through a part together."""

    sequences: Sequence[F32]
    """Inputs, (T, I) each."""
    starts: States
    """Initial states, (S, H) by layer and direction; none of those that are zero."""
    result: InferenceResult
    """Decisions, and the change of the outputs."""


def nonzero(starts: States | None) -> dict[PassKey, State]:
    """Return the initial states that are not all zero."""
    return {key: state for key, state in (starts or {}).items() if state.h.any() or state.c.any()}


def joined_trace(name: str, calls: Sequence[Recorded]) -> Trace:
    """Return the inputs and initial states of all calls as one trace."""
    trace = Trace(name, "frames", tuple(sequence for call in calls for sequence in call.sequences))
    sizes = {key: (state.h.shape[1], state.c.shape[1]) for call in calls for key, state in call.starts.items()}
    states = {key: (_rows(calls, key, 0, of_h), _rows(calls, key, 1, of_c)) for key, (of_h, of_c) in sizes.items()}
    return trace.starting_in(states)


def _rows(calls: Sequence[Recorded], key: PassKey, which: int, units: int) -> F32:
    """Return h (which = 0) or c of all sequences, zeros where a call gave none."""
    rows = [call.starts[key][which] if key in call.starts else np.zeros((len(call.sequences), units)) for call in calls]
    return np.concatenate(rows).astype(np.float32)


def joined_inference(network: Network, policy: Policy, calls: Sequence[Recorded]) -> InferenceResult:
    """Return the decisions and output change of all calls as one inference run, without outputs."""
    shapes = pass_shapes(network)
    keys = [shape.pass_key for shape in shapes]
    bits = {key: [b for call in calls for b in call.result.activity.bits[key]] for key in keys}
    activity = ActivityRecord(shapes, bits, saves_work(policy), kind_of(policy).decides)
    steps = [len(sequence) for call in calls for sequence in call.sequences]
    plain = ActivityRecord.without_reuse(shapes, dict.fromkeys(keys, steps))
    squares = joined_squares(call.result for call in calls)
    return InferenceResult(
        activity=activity,
        outputs=None,
        predictions=None,
        metric=None,
        statistics=None,
        squares=squares,
        without_reuse=InferenceResult(plain, None, None, None, None) if saves_work(policy) else None,
        output_change=_change([call.result for call in calls], squares),
    )


def joined_squares(results: Iterable[InferenceResult]) -> F64 | None:
    """Return the squares of all sequences, (S, 2); None where nothing is compared or ever reused."""
    squares = [result.squares for result in results if result.squares is not None]
    return np.concatenate(squares) if squares else None


def figures(inferences: Sequence[InferenceResult]) -> dict[str, int | float | None]:
    """Return reuse and output change of several parts together, with the keys of a run's record.

    None stands for what does not apply: everything but the counts where there was no call, reused neurons where columns
    are skipped. The output change is that of all parts' outputs, each against its own run without reuse on the inputs
    that it was given.
    """
    records = [inference.activity for inference in inferences]
    reused = [record.neurons_reused() for record in records]
    neurons, macs = sum(record.neurons_total for record in records), sum(record.macs_total for record in records)
    neurons_reused = None if None in reused or not reused else sum(count for count in reused if count is not None)
    squares = joined_squares(inferences)
    return {
        "sequences": sum(record.n_sequences for record in records),
        "steps": sum(record.total_steps for record in records),
        "neurons_total": neurons,
        "neurons_reused": neurons_reused,
        "reuse_fraction": None if neurons_reused is None else neurons_reused / neurons,
        "macs_total": macs,
        "macs_avoided_fraction": sum(record.macs_avoided for record in records) / macs if records else None,
        "output_change": _change(inferences, squares),
    }


def _change(results: Sequence[InferenceResult], squares: F64 | None) -> float | None:
    """Return the change of all outputs; None where there are none, or where they were not compared."""
    if squares is not None:
        return output_change(squares)
    return 0.0 if results and all(result.output_change == 0 for result in results) else None
