"""Recurrent layers with a hand-written backward pass.

Products use bfloat16, and the weight gradients are one product over all steps, which is several times faster on a CPU
than autograd through a loop of steps. Unlike torch's layers, these run in reverse over sequences of unequal length.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from archsim.ir.cells import CELLS, GRU, LSTM
from archsim.kernels.numerics.gradients import StepRecord, cell_backward
from training.steps import FORWARD

HAS_C = {LSTM.name}
"""Cells whose state is more than h."""
FIRST_BIAS = {LSTM.name: (0.0, 1.0, 0.0, 0.0), GRU.name: (0.0, 0.0, 0.0)}
"""Bias of each gate before training: an open forget gate carries evidence from the start."""
REPEATING_BIAS = {LSTM.name: (2.0, -1.0, 0.0, 2.0), GRU.name: (0.0, -2.0, 0.0)}
"""Bias that makes a layer repeat its inputs: open input and output gates, short memory; update gate nearly shut."""


def product(x: Tensor, weight: Tensor) -> Tensor:
    """Return x @ weight.T, multiplied in bfloat16, as float32."""
    return (x.bfloat16() @ weight.bfloat16().T).float()


class Steps(torch.autograd.Function):
    """Autograd function of all steps of one direction, from the input products (T, B, G·H) with their biases."""

    @staticmethod
    def forward(
        ctx: Any, cell: str, inputs: Tensor, weight: Tensor, bias: Tensor, h0: Tensor, c0: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return h and c of all steps (T, B, H)."""
        weight, forward = weight.bfloat16(), FORWARD[cell]
        (T, B, _), H = inputs.shape, h0.shape[1]
        h, c, acts = torch.empty(T + 1, B, H), torch.zeros(T + 1, B, H), torch.empty(T, B, 4 * H)
        h[0], c[0] = h0, c0
        x, hs, cs, gates = inputs.numpy(), h.numpy(), c.numpy(), acts.numpy()
        for t in range(T):
            hidden = (h[t].bfloat16() @ weight.T).float().numpy()
            cs[t + 1] = cs[t]
            forward(x[t], hidden, bias.numpy(), cs[t + 1], hs[t], gates[t], hs[t + 1])
        ctx.cell, ctx.weight = CELLS[cell], weight
        ctx.saved = h, c, acts
        ctx.set_materialize_grads(False)
        if cell not in HAS_C:
            ctx.mark_non_differentiable(c)
        return h[1:].clone(), c[1:].clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        """Return the gradient of each argument of `forward`."""
        (h, c, acts), (d_h, d_c) = ctx.saved, grads
        T, B, H = acts.shape[0], acts.shape[1], h.shape[2]
        dh, dc, carry = torch.zeros(B, H), torch.zeros(B, H), np.zeros((B, 4 * H), np.float32)
        d_inputs, splits = torch.empty(T, B, ctx.cell.n_gates * H), ctx.cell.n_products > ctx.cell.n_gates
        d_hidden = torch.empty_like(d_inputs) if splits else d_inputs
        none_reused = np.zeros((B, ctx.cell.n_gates * H), np.bool_)
        for t in reversed(range(T)):
            dh = dh if d_h is None else dh + d_h[t]
            dc = dc if d_c is None else dc + d_c[t]
            values = (array.numpy() for array in (acts[t], h[t], c[t], c[t + 1]))
            gradients = (array.numpy() for array in (d_inputs[t], d_hidden[t]))
            step = StepRecord(*values, none_reused)
            cell_backward(ctx.cell.kernel_id, step, dh.numpy(), dc.numpy(), carry, *gradients)
            dh = dh + d_hidden[t].bfloat16() @ ctx.weight
        rows = d_hidden.flatten(0, 1)
        d_weight = (rows.bfloat16().T @ h[:-1].flatten(0, 1).bfloat16()).float()
        d_bias = rows[:, -H:].sum(0) if splits else None
        return None, d_inputs, d_weight, d_bias, dh, dc


class Recurrent(nn.Module):
    """One direction of a recurrent layer, with the parameter names, shapes and gate order of torch."""

    def __init__(self, cell: str, inputs: int, hidden: int) -> None:
        super().__init__()
        self.cell = cell
        self.hidden = hidden
        rows, bound = CELLS[cell].n_gates * hidden, hidden**-0.5
        self.weight_ih = nn.Parameter(torch.empty(rows, inputs).uniform_(-bound, bound))
        self.weight_hh = nn.Parameter(torch.empty(rows, hidden).uniform_(-bound, bound))
        self.bias_ih = nn.Parameter(torch.tensor(FIRST_BIAS[cell]).repeat_interleave(hidden))
        self.bias_hh = nn.Parameter(torch.zeros(rows))

    @torch.no_grad()
    def pass_through(self, first: int = 0) -> None:
        """Make the layer repeat H of its inputs approximately, from `first` on.

        A deep network grown layer by layer from this start learns in minutes more than one of random layers in an hour.
        """
        H = self.hidden
        candidate = slice(2 * H, 3 * H)
        self.weight_ih[candidate] *= 0.2
        self.weight_hh[candidate] *= 0.2
        self.weight_ih[candidate, first : first + H] += 1.5 * torch.eye(H)
        self.bias_ih += torch.tensor(REPEATING_BIAS[self.cell]).repeat_interleave(H)

    def forward(
        self,
        x: Tensor,
        h0: Tensor | None = None,
        c0: Tensor | None = None,
        *,
        lengths: Tensor | None = None,
        reverse: bool = False,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Run over x (T, B, I) and return h (T, B, H) and the last (h, c) of each sequence.

        Sequences are padded at their end. `lengths` (B,) are their true lengths, where a reverse pass begins.
        """
        (steps, batch, _), H = x.shape, self.hidden
        lengths = torch.full((batch,), steps) if lengths is None else lengths
        order = _reversal(steps, lengths) if reverse else None
        x = x if order is None else _along_time(x, order)
        zeros = torch.zeros(batch, H)
        h0, c0 = (zeros if state is None else state for state in (h0, c0))
        h, c = Steps.apply(self.cell, self._input_products(x), self.weight_hh, self.bias_hh[-H:], h0, c0)
        last = lengths - 1, torch.arange(batch)
        return (h if order is None else _along_time(h, order)), (h[last], c[last])

    def _input_products(self, x: Tensor) -> Tensor:
        """Return the part that does not depend on h: products with x (T, B, I) plus biases, (T, B, G·H)."""
        bias = self.bias_ih + self.bias_hh
        if CELLS[self.cell].n_products > CELLS[self.cell].n_gates:  # a hidden product keeps its own bias
            bias = torch.cat([bias[: -self.hidden], self.bias_ih[-self.hidden :]])
        return product(x, self.weight_ih) + bias


def _reversal(steps: int, lengths: Tensor) -> Tensor:
    """Return the source step (T, B) of each step of a reversed sequence; padding keeps its position."""
    time = torch.arange(steps)[:, None]
    return torch.where(time < lengths, lengths - 1 - time, time)


def _along_time(x: Tensor, order: Tensor) -> Tensor:
    return x[order, torch.arange(x.shape[1])]
