"""Tensors of recurrent torch modules as archsim's arrays, and back: batch or time first, no batch axis, packed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from archsim.activity import PassKey
from archsim.inference.batching import Batch
from archsim.ir.layers import State
from archsim.kernels.arrays import F32

Hidden = Any
"""h of a GRU or RNN, a tensor; (h, c) of an LSTM."""


def to_array(tensor: Tensor) -> F32:
    """Return a float32 array in this process's memory, which may share the tensor's."""
    array: F32 = tensor.detach().to("cpu", torch.float32).numpy()
    return array


def like(tensor: Tensor, array: F32) -> Tensor:
    """Return an array as a tensor of the device and type of `tensor`."""
    return torch.from_numpy(np.ascontiguousarray(array)).to(tensor.device, tensor.dtype)


@dataclass(frozen=True)
class DenseLayout:
    """Layout of one input tensor, (T, B, I), (B, T, I) or (T, I)."""

    batched: bool
    batch_first: bool

    @property
    def batch_axis(self) -> int:
        """Axis of the sequences where there is one."""
        return 0 if self.batch_first else 1

    def steps(self, x: Tensor) -> F32:
        """Return inputs as (T, B, I)."""
        x = x if self.batched else x.unsqueeze(self.batch_axis)
        return to_array(x.transpose(0, 1) if self.batch_first else x)

    def outputs(self, x: Tensor, steps: F32) -> Tensor:
        """Return outputs (T, B, D·H) in the layout of the inputs `x`."""
        outputs = like(x, steps.transpose(1, 0, 2) if self.batch_first else steps)
        return outputs if self.batched else outputs.squeeze(self.batch_axis)


def check_dense(module: nn.RNNBase, x: Tensor, hx: Hidden) -> DenseLayout:
    """Return the layout of a call; raise torch's own errors for inputs or states that the module does not take."""
    title = type(module).__name__
    if x.dim() not in (2, 3):
        raise ValueError(f"{title}: Expected input to be 2D or 3D, got {x.dim()}D instead")
    layout = DenseLayout(x.dim() == 3, module.batch_first)
    batched = x if layout.batched else x.unsqueeze(layout.batch_axis)
    if hx is None:
        module.check_input(batched, None)
        return layout
    states = hx if isinstance(hx, tuple | list) else (hx,)
    if any(state.dim() != x.dim() for state in states):
        dims = ", ".join(f"{state.dim()}-D" for state in states)
        raise RuntimeError(f"{title}: for {x.dim()}-D input the states should also be {x.dim()}-D, got {dims}")
    full: Any = tuple(state if layout.batched else state.unsqueeze(1) for state in states)
    module.check_forward_args(batched, full if isinstance(module, nn.LSTM) else full[0], None)
    return layout


def check_step(module: nn.RNNCellBase, x: Tensor, hx: Hidden) -> None:
    """Raise errors as torch does for an input or states that one step does not take."""
    title = type(module).__name__
    if x.dim() not in (1, 2):
        raise ValueError(f"{title}: Expected input to be 1D or 2D, got {x.dim()}D instead")
    if x.shape[-1] != module.input_size:
        raise RuntimeError(f"{title}: input has {x.shape[-1]} numbers per step, expected {module.input_size}")
    if x.dtype != module.weight_ih.dtype and not torch._C._is_any_autocast_enabled():
        raise RuntimeError(f"{title}: input is {x.dtype}, the weights are {module.weight_ih.dtype}")
    expected = (*x.shape[:-1], module.hidden_size)
    states = () if hx is None else hx if isinstance(module, nn.LSTMCell) else (hx,)
    for state in states:
        if tuple(state.shape) != expected:
            raise RuntimeError(f"{title}: state has shape {tuple(state.shape)}, expected {expected}")


def states_of_step(hx: Hidden) -> dict[PassKey, State]:
    """Return initial states of one layer from h (B, H) or (H,), or a pair of h and c."""
    states = [to_array(state) for state in (hx if isinstance(hx, tuple | list) else (hx,))]
    h, c = (states[0], states[-1] if len(states) > 1 else np.zeros_like(states[0]))
    return {(0, 0): State(np.atleast_2d(h), np.atleast_2d(c))}


def states_of(hx: Hidden, n_directions: int) -> dict[PassKey, State]:
    """Return initial states by layer and direction from h (L·D, B, H) or (L·D, H), or a pair of h and c."""
    h, *rest = [to_array(state) for state in (hx if isinstance(hx, tuple | list) else (hx,))]
    c = rest[0] if rest else np.zeros_like(h)
    h, c = (state if state.ndim == 3 else state[:, None] for state in (h, c))
    return {(k // n_directions, k % n_directions): State(h[k], c[k]) for k in range(len(h))}


def hidden_of(states: dict[PassKey, State], x: Tensor, *, has_cell: bool, batched: bool) -> Hidden:
    """Return end states as torch does: (L·D, B, H) or (L·D, H) of h, or of h and c."""
    ordered = [states[key] for key in sorted(states)]
    stacked = [np.stack([state[which] for state in ordered]) for which in range(1 + has_cell)]
    tensors = tuple(like(x, values if batched else values[:, 0]) for values in stacked)
    return tensors if has_cell else tensors[0]


class PackedLayout:
    """Layout of a PackedSequence, whose sequences are here in the order that the user gave them in."""

    def __init__(self, packed: PackedSequence) -> None:
        self.packed = packed
        sizes = packed.batch_sizes.numpy()
        n = int(sizes[0])
        # A step holds the first `sizes[t]` sequences, so that sequence j has as many steps as have more than j.
        lengths = (sizes[:, None] > np.arange(n)).sum(axis=0)
        self.batch = Batch.of(np.arange(n), lengths)
        order = packed.sorted_indices
        self.order = np.arange(n) if order is None else order.cpu().numpy()

    def sequences(self) -> list[F32]:
        """Return inputs, (T, I) per sequence."""
        unpacked = self.batch.by_sequence(to_array(self.packed.data))
        return [unpacked[place] for place in np.argsort(self.order)]

    def outputs(self, sequences: list[F32]) -> PackedSequence:
        """Return outputs (T, D·H) per sequence, packed as the inputs were."""
        packed, given = self.packed, [sequences[i] for i in self.order]
        data = like(packed.data, self.batch.to_step_major(given))
        return PackedSequence(data, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices)
