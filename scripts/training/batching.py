"""Batches of training sequences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def batches_by_length(lengths: Sequence[int], size: int, blur: float, rng: np.random.Generator) -> list[np.ndarray]:
    """Return indices of shuffled batches; lengths within a batch are similar up to a random `blur` in steps."""
    order = np.argsort(np.array(lengths) + rng.uniform(-blur, blur, len(lengths)), kind="stable")
    batches = [order[k : k + size] for k in range(0, len(order), size)]
    rng.shuffle(batches)
    return batches
