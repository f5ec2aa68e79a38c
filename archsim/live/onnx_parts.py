"""Recurrent nodes of an ONNX model in a run: arrays in the operators' layouts, the layers computed by a `Part`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from archsim.activity import PassKey
from archsim.errors import TraceError
from archsim.importers.onnx_graph import Array
from archsim.importers.onnx_nodes import RecurrentNode
from archsim.importers.onnx_stacks import as_output
from archsim.ir.layers import State, zero_state
from archsim.kernels.arrays import F32, I64
from archsim.live.onnx_plan import OnnxPart
from archsim.live.part import Part

States = dict[PassKey, State]


class NodeComputer:
    """Stack of recurrent nodes in one run of a model.

    continues: whether states may go out of one call and come in at the next. Memos then live on while the states that
    come in equal those that went out.
    """

    def __init__(self, nodes: OnnxPart, part: Part, *, continues: bool) -> None:
        self.nodes = nodes.nodes
        self.part = part
        self.layers = part.network.layers
        self.continues = continues and not any(d.reverse for layer in self.layers for d in layer.directions)
        self._size: int | None = None
        """Sequences in progress that the next call may go on with; None if there are none."""

    def compute(self, values: Mapping[str, Array]) -> dict[str, Array]:
        """Return the outputs of all nodes by name, from the values that they read.

        Raises TraceError with the node for values of other shapes than the operator allows.
        """
        first = self.nodes[0]
        x = values[first.inputs["X"]]
        if x.ndim != 3 or x.shape[2] != self.layers[0].input_size:
            need = f"3 axes, the last {self.layers[0].input_size} long"
            raise TraceError(f"{first.name}: X has shape {x.shape}, need {need}")
        steps = np.asarray(x.swapaxes(0, 1) if first.batch_first else x, np.float32)
        T, B, _ = steps.shape
        lengths = self._lengths(values, T, B)
        starts = self._starts(values, B)
        try:
            if self.continues and steps.size and (lengths == T).all():
                top, ends = self._advance(steps, starts)
            else:
                top, ends = self._whole(steps, lengths, starts)
        except TraceError as error:
            raise TraceError(f"{self.part.name}: {error}") from None
        return self._outputs(top, ends, x.dtype)

    def _lengths(self, values: Mapping[str, Array], T: int, B: int) -> I64:
        name = self.nodes[0].inputs.get("sequence_lens")
        if name is None:
            return np.full(B, T)
        lengths = values[name].astype(np.int64)
        if lengths.shape != (B,) or ((lengths < 0) | (lengths > T)).any():
            given = lengths.tolist()
            raise TraceError(f"{self.nodes[0].name}: sequence_lens = {given}, need {B} numbers from 0 to {T}")
        return lengths

    def _starts(self, values: Mapping[str, Array], B: int) -> States:
        """Return the initial states that the nodes are given, by layer and direction; those of zeros are left out."""
        starts: States = {}
        for index, (node, layer) in enumerate(zip(self.nodes, self.layers, strict=True)):
            shape = (len(layer.directions), B, layer.hidden_size)
            h, c = (_state(node, key, values, shape) for key in ("initial_h", "initial_c"))
            if h.any() or c.any():
                starts |= {(index, d): State(h[d], c[d]) for d in range(len(h))}
        return starts

    def _advance(self, steps: F32, starts: States) -> tuple[F32, States]:
        """Run steps (T, B, I) of sequences that may go on from the last call; return (T, B, D·H) and end states."""
        B = steps.shape[1]
        if self._size != B or not _same_states(self.part.states, starts):
            self.part.begin(B, starts)
            self._size = B
        top = self.part.advance(np.ascontiguousarray(steps))
        return top, dict(self.part.states)

    def _whole(self, steps: F32, lengths: I64, starts: States) -> tuple[F32, States]:
        """Run whole sequences (T, B, I) of some lengths; return (T, B, D·H) and end states.

        Outputs after a sequence's length are zero, and so are the states of one of no length, as the operators say.
        """
        T, B, _ = steps.shape
        self._size = None
        rows = np.flatnonzero(lengths)
        top = np.zeros((T, B, self.layers[-1].output_size), np.float32)
        keys = [(i, d) for i, layer in enumerate(self.layers) for d in range(len(layer.directions))]
        ends = {(i, d): zero_state(B, self.layers[i].recurrent_size, self.layers[i].hidden_size) for i, d in keys}
        if rows.size:
            sequences = [np.ascontiguousarray(steps[: lengths[b], b]) for b in rows.tolist()]
            chosen = {key: State(state.h[rows], state.c[rows]) for key, state in starts.items()}
            done = self.part.run(sequences, chosen or None)
            for b, outputs in zip(rows.tolist(), done.outputs or (), strict=True):
                top[: len(outputs), b] = outputs
            for key, end in done.ends.items():
                ends[key].h[rows], ends[key].c[rows] = end
        return top, ends

    def _outputs(self, top: F32, ends: States, dtype: DTypeLike) -> dict[str, Array]:
        """Return the outputs of the nodes in the layouts and the type that the operators give."""
        T, B, _ = top.shape
        outputs: dict[str, Array] = {}
        for index, (node, layer) in enumerate(zip(self.nodes, self.layers, strict=True)):
            D = len(layer.directions)
            Y, *states = node.outputs
            if Y and node is self.nodes[-1]:
                outputs[Y] = as_output(top.reshape(T, B, D, -1).swapaxes(1, 2), batch_first=node.batch_first)
            for which, name in enumerate(states):
                if name:
                    state = np.stack([ends[index, d][which] for d in range(D)])
                    outputs[name] = state.swapaxes(0, 1) if node.batch_first else state
        return {name: np.ascontiguousarray(array, dtype) for name, array in outputs.items()}


def _state(node: RecurrentNode, key: str, values: Mapping[str, Any], shape: tuple[int, ...]) -> F32:
    """Return an initial state as (D, B, H) float32, zeros where it is not given; TraceError for another shape."""
    if key not in node.inputs:
        return np.zeros(shape, np.float32)
    given = values[node.inputs[key]]
    state = given.swapaxes(0, 1) if node.batch_first and given.ndim == 3 else given
    if state.shape != shape:
        need = (shape[1], shape[0], shape[2]) if node.batch_first else shape
        raise TraceError(f"{node.name}: {key} has shape {given.shape}, need {need}")
    return np.asarray(state, np.float32)


def _same_states(ends: Mapping[PassKey, State], starts: States) -> bool:
    """Return whether sequences begin in the states that others ended in; a state that is not given is zero."""
    for key, end in ends.items():
        h, c = starts.get(key, (0, 0))
        if not (np.all(end.h == h) and np.all(end.c == c)):
            return False
    return True
