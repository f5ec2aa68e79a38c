"""Sums of squared differences per sequence, in one fixed order."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from archsim.kernels.arrays import F32, F64, I64, check_shapes
from archsim.kernels.jit import outer


def add_squares(before: F32, after: F32, active: I64, sums: F64) -> None:
    """Add the squares of `after - before` and of `before` to the two sums of each sequence.

    before, after: step-major outputs (rows, M) float32; active (T,): sequences that run at each step;
    sums (B, 2) float64, B at least `active[0]`. Each sequence is added up from its first element to its last, so the
    sums do not depend on the other sequences of the batch, nor on the windows that its steps are cut into.
    """
    check_shapes(after=(after, before.shape), sums=(sums, (len(sums), 2)))
    if int(active.sum()) != len(before) or int(active[0]) > len(sums):
        raise ValueError(f"{len(before)} rows, {len(sums)} sums, need {int(active.sum())} and at least {active[0]}")
    _add_squares(before, after, active, sums)


@outer
def _add_squares(before, after, active, sums):
    row = 0
    for n_rows in active:
        for b in range(n_rows):
            change, square = sums[b, 0], sums[b, 1]
            for j in range(before.shape[1]):
                old = np.float64(before[row, j])
                difference = np.float64(after[row, j]) - old
                change += difference * difference
                square += old * old
            sums[b, 0], sums[b, 1] = change, square
            row += 1
