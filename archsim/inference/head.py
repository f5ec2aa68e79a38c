"""Heads applied to outputs: a class or a transcript per sequence, and the metric that scores predictions."""

from __future__ import annotations

import numpy as np

from archsim.errors import TraceError
from archsim.ir.heads import CtcHead, MeanClassifier
from archsim.ir.network import Network
from archsim.kernels.arrays import F32, I64
from archsim.task_metrics.metrics import METRICS, Metric
from archsim.traceio.trace import Trace

Prediction = int | str
"""A class number, or the words of a transcript or translation."""


def classify(head: MeanClassifier, outputs: F32) -> int:
    """Return the class of one sequence from its top-layer outputs (T, D·H)."""
    scores = head.weight.astype(np.float64) @ outputs.mean(axis=0, dtype=np.float64) + head.bias
    return int(scores.argmax())


def transcribe(head: CtcHead, outputs: F32) -> str:
    """Return the best path's words from top-layer outputs (T, D·H): repeats merged, blanks dropped."""
    best = (outputs.astype(np.float64) @ head.weight.T.astype(np.float64) + head.bias).argmax(axis=1)
    return " ".join(head.labels[label] for label in merged(best))


def merged(path: I64) -> I64:
    """Return the labels of a CTC path (T,): repeats merged, then blanks, which are 0, dropped."""
    changed = np.concatenate([[True], path[1:] != path[:-1]])
    return np.asarray(path[changed & (path != 0)], np.int64)


def metric_for(network: Network, trace: Trace) -> Metric | None:
    """Return the metric that scores the network's predictions for a trace; None where either has no task.

    Raises TraceError for a target that the network could never predict.
    """
    if network.metric is None or trace.targets is None:
        return None
    metric = METRICS.get(network.metric)
    classes = network.head.bias.size if isinstance(network.head, MeanClassifier) else 0
    for sequence, target in enumerate(trace.targets):
        where = f"trace {trace.name}: target {target!r} of sequence {sequence}"
        if not isinstance(target, metric.target_type):
            needed = "a text" if metric.target_type is str else "a class number"
            raise TraceError(f"{where}: metric {metric.name} of {network.name} needs {needed}")
        if isinstance(target, int) and not 0 <= target < classes:
            raise TraceError(f"{where}, need 0 to {classes - 1}")
        if isinstance(target, str) and not target.strip():
            raise TraceError(f"{where} is blank, need at least one word")
    return metric
