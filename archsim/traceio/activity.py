"""The activity record: one bit per neuron evaluation, 1 = reused; all the event simulation needs to know."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from archsim.errors import NoSuchPassError
from archsim.kernels.arrays import I64, U8, Bools
from archsim.units import ceil_div

COUNT_ROWS = 1 << 16


@dataclass(frozen=True)
class PassShape:
    """What one (layer, direction) evaluates per step: G gates of H units with N inputs each."""

    layer: int
    direction: int
    n_gates: int
    n_units: int
    n_inputs: int

    @property
    def neurons_per_step(self) -> int:
        """G·H."""
        return self.n_gates * self.n_units

    @property
    def bytes_per_step(self) -> int:
        """Bytes of one step's decisions, packed."""
        return ceil_div(self.neurons_per_step, 8)


@dataclass(eq=False)
class ActivityRecord:
    """Decisions of a whole run, bit-packed by (layer, direction); steps of sequences lie end to end.

    Steps are in processing order: step 0 of a reverse pass is the last input.
    """

    lengths: I64 = field(repr=False)
    """Steps of each sequence."""
    shapes: tuple[PassShape, ...]
    bits: dict[tuple[int, int], U8] = field(default_factory=dict, repr=False)
    """(layer, direction) to (ΣT, bytes_per_step), gate-major as `numpy.packbits` lays bits out."""
    reuses: bool = True
    """False where all bits are known to be 0."""

    @classmethod
    def empty(cls, lengths: I64, shapes: tuple[PassShape, ...]) -> ActivityRecord:
        """A record to be filled in."""
        record = cls(lengths, shapes)
        steps = int(lengths.sum())
        record.bits = {(s.layer, s.direction): np.zeros((steps, s.bytes_per_step), np.uint8) for s in shapes}
        return record

    @classmethod
    def without_reuse(cls, lengths: I64, shapes: tuple[PassShape, ...]) -> ActivityRecord:
        """The record of policy `none`: every neuron evaluated, in no memory to speak of."""
        record = cls(lengths, shapes, reuses=False)
        steps = int(lengths.sum())
        record.bits = {(s.layer, s.direction): np.broadcast_to(np.uint8(0), (steps, s.bytes_per_step)) for s in shapes}
        return record

    def __post_init__(self) -> None:
        self.offsets: I64 = np.concatenate([[0], np.cumsum(self.lengths)]).astype(np.int64)

    def shape(self, layer: int, direction: int) -> PassShape:
        """The shape of one pass; NoSuchPassError where the network has none."""
        for shape in self.shapes:
            if (shape.layer, shape.direction) == (layer, direction):
                return shape
        raise NoSuchPassError(f"no pass (layer {layer}, direction {direction}) in this record")

    def pass_bits(self, sequence: int, layer: int, direction: int) -> U8:
        """Packed decisions of one pass, (T, bytes_per_step)."""
        first, last = self.offsets[sequence], self.offsets[sequence + 1]
        return self.bits[layer, direction][first:last]

    def reused(self, sequence: int, layer: int, direction: int) -> Bools:
        """Decisions of one pass, (T, G, H), True = reused, in processing order."""
        if not 0 <= sequence < self.lengths.size:
            raise NoSuchPassError(f"sequence {sequence} is not in 0..{self.lengths.size - 1}")
        shape = self.shape(layer, direction)
        unpacked = np.unpackbits(self.pass_bits(sequence, layer, direction), axis=1, count=shape.neurons_per_step)
        return unpacked.reshape(-1, shape.n_gates, shape.n_units).astype(np.bool_)

    @property
    def total_steps(self) -> int:
        """Input steps of all sequences."""
        return int(self.lengths.sum())

    @property
    def neurons_total(self) -> int:
        """Neuron evaluations asked for."""
        return self.total_steps * sum(s.neurons_per_step for s in self.shapes)

    @property
    def macs_total(self) -> int:
        """Multiply-accumulates asked for."""
        return self.total_steps * sum(s.neurons_per_step * s.n_inputs for s in self.shapes)

    def neurons_reused(self) -> int:
        """Neuron evaluations avoided."""
        return sum(self._reused_in(s) for s in self.shapes)

    def macs_avoided(self) -> int:
        """Multiply-accumulates avoided."""
        return sum(self._reused_in(s) * s.n_inputs for s in self.shapes)

    def _reused_in(self, shape: PassShape) -> int:
        if not self.reuses:
            return 0
        bits = self.bits[shape.layer, shape.direction]
        # In pieces: numpy counts into a temporary array as large as what it counts.
        pieces = (bits[i : i + COUNT_ROWS] for i in range(0, len(bits), COUNT_ROWS))
        return sum(int(np.bitwise_count(piece).sum(dtype=np.int64)) for piece in pieces)
