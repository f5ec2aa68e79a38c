"""What reads the recurrent layers, and the task metrics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from archsim.ir.network import Head
from archsim.kernels.arrays import F32


def predict(head: Head, outputs: F32) -> int:
    """Return the class of one sequence from its top-layer outputs (T, D·H)."""
    scores = head.weight.astype(np.float64) @ outputs.mean(axis=0, dtype=np.float64) + head.bias
    return int(scores.argmax())


def accuracy(predictions: Sequence[int], targets: Sequence[int]) -> float:
    """Share of right answers, in percent."""
    return 100.0 * int(np.sum(np.asarray(predictions) == np.asarray(targets))) / len(targets)
