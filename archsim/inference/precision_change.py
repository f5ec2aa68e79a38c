"""Comparison of runs without reuse in two precisions: what a number format alone changes."""

from __future__ import annotations

import numpy as np

from archsim.inference.measure import ranged
from archsim.inference.run import InferenceResult, run_inference
from archsim.ir.network import Network
from archsim.kernels.arrays import F64
from archsim.kernels.numerics.squares import add_squares
from archsim.policies import NoReuse
from archsim.traceio.trace import Trace


def run_without_reuse(network: Network, trace: Trace, precision: str) -> InferenceResult:
    """Return outputs and task metric in a precision; ranges that the network lacks are measured on `trace`."""
    return run_inference(ranged(network, trace, precision), trace, NoReuse(), precision=precision)


def squares_between(before: InferenceResult, after: InferenceResult) -> F64:
    """Return sums of (h' - h)² and of h² per sequence (sequences, 2), h of `before`; NaN where lengths differ."""
    assert before.outputs is not None and after.outputs is not None, "kept"
    squares = np.full((len(before.outputs), 2), np.nan)
    for row, (h, changed) in enumerate(zip(before.outputs, after.outputs, strict=True)):
        if h.shape == changed.shape:
            squares[row] = 0.0
            add_squares(h, changed, np.ones(len(h), np.int64), squares[row : row + 1])
    return squares
