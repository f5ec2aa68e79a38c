"""The state of a recurrent layer, and how a step's products bring it forward."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from archsim.inference.weights import StoredWeights
from archsim.ir.cells import is_lstm
from archsim.ir.layers import Layer
from archsim.kernels.arrays import F32
from archsim.kernels.numerics.cells import update_gru, update_lstm
from archsim.kernels.numerics.fp16 import round_to_half


class State(NamedTuple):
    """What a recurrent layer carries from step to step, (B, H) each; a GRU has no use for c."""

    h: F32
    c: F32


def begin_state(layer: Layer, size: int, start: State | None) -> State:
    """Zeros for `size` sequences, or a copy of where another layer ended."""
    if start is not None:
        return State(start.h.copy(), start.c.copy())
    zeros = np.zeros((size, layer.hidden_size), np.float32)
    return State(zeros, zeros.copy())


def update_cells(layer: Layer, weights: StoredWeights, products: F32, state: State, *, fp16: bool) -> F32:
    """Advance the first B sequences from their products (B, P, H); return h (B, H), a view into the state."""
    B = products.shape[0]
    h, c = state.h[:B], state.c[:B]
    if is_lstm(layer.cell):
        update_lstm(products, weights.bias, c, h)
    else:
        update_gru(products, weights.bias, h)
    if fp16:
        round_to_half(h)
    return h
