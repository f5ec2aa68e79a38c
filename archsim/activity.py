"""Activity record, which holds the decisions of a policy for the event simulation.

It has one bit per neuron evaluation (1 = reused), or, if the policy skips columns, one per element of [x; h]
(1 = skipped).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from archsim.errors import NoSuchPassError
from archsim.ir.network import Network
from archsim.kernels.arrays import U8, Bools
from archsim.units import ceil_div

COUNT_ROWS = 1 << 16
"""Rows whose ones are counted at a time."""
PassKey = tuple[int, int]
"""Key of a pass in a record, (layer, direction)."""
DecisionKind = Literal["neurons", "columns"]
"""Unit of work that one bit of a record stands for."""


@dataclass(frozen=True)
class PassShape:
    """Work of one (layer, direction) per step: G gates of H units with N inputs each."""

    layer: int
    direction: int
    n_gates: int
    n_units: int
    n_inputs: int
    decodes: bool = False
    """Whether the pass is in a decoder, whose steps alternate with those of its other layers."""
    resets_before: bool = False
    """Whether the last gate waits for the first, as in a GRU with reset before the product."""
    n_projected: int = 0
    """R, rows of the projection of an LSTM; 0 without one."""

    @property
    def pass_key(self) -> PassKey:
        """Key of the pass, (layer, direction)."""
        return self.layer, self.direction

    @property
    def n_hidden(self) -> int:
        """Hidden values h, R: those of the projection, or H."""
        return self.n_projected or self.n_units

    @property
    def macs_per_step(self) -> int:
        """Multiply-accumulates per step, those of a projection included, which no policy avoids."""
        return self.neurons_per_step * self.n_inputs + self.n_projected * self.n_units

    @property
    def neurons_per_step(self) -> int:
        """Neurons evaluated per step, G·H."""
        return self.n_gates * self.n_units

    def bits_per_step(self, kind: DecisionKind) -> int:
        """Return the decisions per step: G·H neurons, or N columns."""
        return self.n_inputs if kind == "columns" else self.neurons_per_step

    def bytes_per_step(self, kind: DecisionKind) -> int:
        """Return the bytes of bit-packed decisions per step."""
        return ceil_div(self.bits_per_step(kind), 8)


def pass_shapes(network: Network) -> tuple[PassShape, ...]:
    """Return the passes over a sequence in machine order: layer by layer, one direction after the other."""
    first_decoder = len(network.encoder)
    return tuple(
        PassShape(
            layer=index,
            direction=d,
            n_gates=layer.cell.n_gates,
            n_units=layer.hidden_size,
            n_inputs=layer.joint_size,
            decodes=index >= first_decoder,
            resets_before=layer.cell.resets_before,
            n_projected=layer.projection_size,
        )
        for index, layer in enumerate(network.layers)
        for d in range(len(layer.directions))
    )


@dataclass(eq=False)
class ActivityRecord:
    """Decisions of a whole run, bit-packed by (layer, direction) and sequence.

    Steps are in processing order, so step 0 of a reverse pass is the last input. The passes of a decoder have as many
    steps as its output has tokens, which may depend on the policy.
    """

    shapes: tuple[PassShape, ...]
    bits: dict[PassKey, list[U8]] = field(repr=False)
    """Bits (T, bytes_per_step) per sequence, by pass key, packed as by `numpy.packbits`; neurons are gate-major."""
    reuses: bool = True
    """Whether any bit may be 1."""
    kind: DecisionKind = "neurons"

    @classmethod
    def without_reuse(cls, shapes: tuple[PassShape, ...], steps: Mapping[PassKey, Sequence[int]]) -> ActivityRecord:
        """Return the record of policy `none`. All its arrays are views of one zero, so it needs almost no memory."""
        zero = np.uint8(0)
        bits = {
            s.pass_key: [np.broadcast_to(zero, (t, s.bytes_per_step("neurons"))) for t in steps[s.pass_key]]
            for s in shapes
        }
        return cls(shapes, bits, reuses=False)

    @property
    def n_sequences(self) -> int:
        """Number of sequences."""
        return len(self.bits[self.shapes[0].pass_key])

    def steps(self, shape: PassShape) -> list[int]:
        """Return the steps T of each sequence in one pass."""
        return [bits.shape[0] for bits in self.bits[shape.pass_key]]

    def shape(self, layer: int, direction: int) -> PassShape:
        """Return the shape of one pass; raise NoSuchPassError if the network has no such pass."""
        for shape in self.shapes:
            if shape.pass_key == (layer, direction):
                return shape
        raise NoSuchPassError(f"no pass (layer {layer}, direction {direction}) in this record")

    def pass_bits(self, sequence: int, layer: int, direction: int) -> U8:
        """Return the bit-packed decisions (T, bytes_per_step) of one pass."""
        return self.bits[layer, direction][sequence]

    def reused(self, sequence: int, layer: int, direction: int) -> Bools:
        """Return which neurons of one pass were reused, (T, G, H); raise NoSuchPassError for a record of columns."""
        shape = self.shape(layer, direction)
        return self._decisions("neurons", sequence, shape).reshape(-1, shape.n_gates, shape.n_units)

    def skipped(self, sequence: int, layer: int, direction: int) -> Bools:
        """Return which columns of one pass were skipped, (T, N); raise NoSuchPassError for a record of neurons."""
        return self._decisions("columns", sequence, self.shape(layer, direction))

    def _decisions(self, kind: DecisionKind, sequence: int, shape: PassShape) -> Bools:
        if kind != self.kind:
            other = {"neurons": "reused()", "columns": "skipped()"}[self.kind]
            raise NoSuchPassError(f"this record is of {self.kind}, not of {kind}: use {other}")
        if not 0 <= sequence < self.n_sequences:
            raise NoSuchPassError(f"sequence {sequence} is not in 0..{self.n_sequences - 1}")
        bits = self.pass_bits(sequence, *shape.pass_key)
        return np.unpackbits(bits, axis=1, count=shape.bits_per_step(kind)).astype(np.bool_)

    @property
    def total_steps(self) -> int:
        """Time steps of all sequences: those of the input, plus those of the output if there is a decoder."""
        stacks = {shape.decodes: shape for shape in self.shapes}
        return sum(sum(self.steps(shape)) for shape in stacks.values())

    @property
    def neurons_total(self) -> int:
        """Neuron evaluations of the run, reused ones included."""
        return sum(sum(self.steps(s)) * s.neurons_per_step for s in self.shapes)

    @property
    def macs_total(self) -> int:
        """Multiply-accumulates of the run, avoided ones included."""
        return sum(sum(self.steps(s)) * s.macs_per_step for s in self.shapes)

    def neurons_reused(self) -> int | None:
        """Return the neuron evaluations avoided, or None if columns are skipped."""
        return sum(map(self._ones_in, self.shapes)) if self.kind == "neurons" else None

    @property
    def avoided_fraction(self) -> float:
        """Share of neuron evaluations avoided, or of multiply-accumulates if columns are skipped."""
        if self.kind == "neurons":
            return sum(map(self._ones_in, self.shapes)) / self.neurons_total
        return self.macs_avoided / self.macs_total

    @property
    def macs_avoided(self) -> int:
        """Multiply-accumulates of the reused neurons, or of the skipped columns."""
        return sum(avoided for avoided, _ in self.macs_by_layer().values())

    def macs_by_layer(self) -> dict[int, tuple[int, int]]:
        """Return the multiply-accumulates avoided and all of them, by layer."""
        neurons = self.kind == "neurons"
        layers: dict[int, tuple[int, int]] = {}
        for s in self.shapes:
            avoided, total = layers.get(s.layer, (0, 0))
            avoided += self._ones_in(s) * (s.n_inputs if neurons else s.neurons_per_step)
            layers[s.layer] = avoided, total + sum(self.steps(s)) * s.neurons_per_step * s.n_inputs
        return layers

    def _ones_in(self, shape: PassShape) -> int:
        return sum(count_ones(bits) for bits in self.bits[shape.pass_key]) if self.reuses else 0


def count_ones(bits: U8) -> int:
    """Return the number of ones, counted in pieces because numpy makes a temporary array as large as its input."""
    pieces = (bits[i : i + COUNT_ROWS] for i in range(0, len(bits), COUNT_ROWS))
    return sum(int(np.bitwise_count(piece).sum(dtype=np.int64)) for piece in pieces)
