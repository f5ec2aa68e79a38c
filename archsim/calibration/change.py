"""How much reuse changes what a network says: a stand-in for the loss of its task that is less coarse and noisy."""

from __future__ import annotations

import math

import numpy as np

from archsim.inference.run import InferenceResult
from archsim.kernels.arrays import F32
from archsim.sums import add_along


def change_of(before: InferenceResult, after: InferenceResult, *, decodes: bool) -> float:
    """Squared change of the top layer's outputs over their squares before; of a decoder, `disagreement`.

    One other word changes all outputs that follow it, however little was lost. Both results need outputs and answers.
    """
    if decodes:
        return disagreement(before, after)
    assert before.outputs is not None and after.outputs is not None, "kept where they are compared"
    change = math.fsum(_squares(old - new) for old, new in zip(before.outputs, after.outputs, strict=True))
    squares = math.fsum(_squares(old) for old in before.outputs)
    return change / squares if squares else change


def disagreement(before: InferenceResult, after: InferenceResult) -> float:
    """Loss of the task metric, as a fraction, where the answers before are the targets."""
    metric, own = before.metric, before.predictions
    assert metric is not None and own is not None and after.predictions is not None, "a calibrated network has a task"
    right, found = (metric.of(metric.statistics(answers, own)) for answers in (own, after.predictions))
    return metric.loss(right, found) / 100


def _squares(values: F32) -> float:
    return float(add_along(np.square(values, dtype=np.float64)))
