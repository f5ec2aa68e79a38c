"""What reads the recurrent layers, and the task metrics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from archsim.errors import TraceError
from archsim.ir.network import Head, Network
from archsim.kernels.arrays import F32
from archsim.traceio.trace import Trace


def predict(head: Head, outputs: F32) -> int:
    """Return the class of one sequence from its top-layer outputs (T, D·H)."""
    scores = head.weight.astype(np.float64) @ outputs.mean(axis=0, dtype=np.float64) + head.bias
    return int(scores.argmax())


def accuracy(predictions: Sequence[int], targets: Sequence[int]) -> float:
    """Share of right answers, in percent."""
    return 100.0 * int(np.sum(np.asarray(predictions) == np.asarray(targets))) / len(targets)


def has_metric(network: Network, trace: Trace) -> bool:
    """Whether the network's task can be scored on the trace; TraceError for a target that is no class of it."""
    if network.metric is None or network.head is None or trace.targets is None:
        return False
    classes = network.head.bias.size
    for sequence, target in enumerate(trace.targets):
        if not 0 <= target < classes:
            raise TraceError(f"trace {trace.name}: target {target} of sequence {sequence}, need 0 to {classes - 1}")
    return True
