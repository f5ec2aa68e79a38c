"""Batches of sequences in lock step: step t of all sequences together, longest sequence first, no padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archsim.kernels.arrays import F32, I64
from archsim.units import ceil_div

MAX_ROWS = 1 << 15
"""Most input rows of a batch, which bounds memory; a longer sequence makes a batch of its own."""
WINDOW_STEPS = MAX_ROWS
"""Steps of a batch that go through all layers before the next steps do, which bounds memory for long sequences."""
MAX_BATCH = 256
"""Most sequences of a batch."""


@dataclass(frozen=True, eq=False)
class Batch:
    """A group of sequences, sorted by falling length, and the position of their steps in step-major arrays.

    A step-major array has one row per (step, sequence), all rows of a step together: the rows of step t are
    `first[t] : first[t] + active[t]`, and row b of a step belongs to `sequences[b]`.
    """

    sequences: I64
    """Numbers of the sequences in the trace, (B,)."""
    lengths: I64
    """Steps per sequence, (B,)."""
    active: I64
    """Sequences that run at each step, (T,)."""
    first: I64
    """First row of each step, (T,)."""
    start: int = 0
    """Steps before the first one here; 0 unless this is a window of another batch."""

    @classmethod
    def of(cls, sequences: I64, lengths: I64, start: int = 0) -> Batch:
        """Return the batch of sequences that are already sorted by falling length."""
        active = np.searchsorted(-lengths, -np.arange(lengths[0]), side="left")
        first = np.concatenate([[0], np.cumsum(active)[:-1]])
        return cls(sequences, lengths, active, first, start)

    @property
    def n_rows(self) -> int:
        """Steps of all sequences together."""
        return int(self.lengths.sum())

    def windows(self, n_steps: int) -> Iterator[Batch]:
        """Cut into batches of `n_steps`, in order; the rows of a window follow those of the window before."""
        for start in range(0, self.active.size, n_steps):
            n_active = int(self.active[start])
            lengths = np.minimum(self.lengths[:n_active] - start, n_steps)
            yield Batch.of(self.sequences[:n_active], lengths, self.start + start)

    def steps(self) -> Iterator[slice]:
        """Yield the rows of each step."""
        for first, active in zip(self.first.tolist(), self.active.tolist(), strict=True):
            yield slice(first, first + active)

    def rows_of(self, position: int) -> I64 | slice:
        """Return the step-major rows of the sequence in row `position`, in the order of its steps."""
        if self.lengths[-1] == self.lengths[0]:
            return slice(position, None, self.lengths.size)
        return self.first[: self.lengths[position]] + position

    def steps_and_positions(self) -> tuple[I64, I64]:
        """Return step and position (row of the batch) of each step-major row."""
        steps = np.repeat(np.arange(self.active.size), self.active)
        return steps, np.arange(steps.size) - self.first[steps]

    def backwards(self) -> I64:
        """Return the permutation of step-major rows that reverses each sequence; it is its own inverse."""
        steps, positions = self.steps_and_positions()
        rows: I64 = self.first[self.lengths[positions] - 1 - steps] + positions
        return rows

    def rows_before(self) -> I64:
        """Return the row of the step before, for all rows but those of step 0."""
        return np.arange(self.active[0], self.n_rows) - np.repeat(self.active[:-1], self.active[1:])

    def to_step_major(self, arrays: Sequence[F32]) -> F32:
        """Return the step-major array of one (T, I) array per sequence."""
        rows = np.empty((self.n_rows, arrays[0].shape[1]), np.float32)
        for position, array in enumerate(arrays):
            rows[self.rows_of(position)] = array
        return rows

    def by_sequence(self, rows: NDArray[Any]) -> list[NDArray[Any]]:
        """Return one array per sequence from a step-major array of any type, as `to_step_major` took them."""
        return [np.ascontiguousarray(rows[self.rows_of(position)]) for position in range(self.lengths.size)]


def batches(lengths: I64, pieces: int = 1) -> Iterator[Batch]:
    """Group sequences of similar length into at least `pieces` batches, if there are enough sequences.

    Results do not depend on `pieces`, because no sequence depends on the others of its batch.
    """
    order = np.argsort(-lengths, kind="stable")  # stable: batches are the same on every machine
    largest = min(MAX_BATCH, ceil_div(order.size, pieces))
    start = 0
    while start < order.size:
        fitting = max(1, MAX_ROWS // int(lengths[order[start]]))
        chosen = order[start : start + min(fitting, largest)]
        yield Batch.of(chosen, lengths[chosen])
        start += chosen.size
