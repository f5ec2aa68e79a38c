"""LSTM layer for training with approximately the reuse decisions of the machine.

Its products use bfloat16, which takes two thirds of the time of `archsim.finetune.ReuseRNN`, but makes the decisions
differ from the simulator's in rare cases. It can start from given states, as the layers of a decoder do.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from archsim.kernels.prediction.bitplanes import binary_products, pack_joint_signs
from archsim.kernels.prediction.reuse_rule import decide_by_drift
from training.recurrent import Recurrent, coins
from training.steps import lstm_forward


@torch.no_grad()
def decide_reuse(layer: Recurrent, x: Tensor, inputs: Tensor, h0: Tensor, c0: Tensor, theta: float) -> np.ndarray:
    """Return which products (T, B, 4H) the binary network lets a layer reuse at threshold `theta`."""
    (T, B, _), H = x.shape, layer.hidden
    signs = np.ascontiguousarray(pack_joint_signs(layer.weight_ih.numpy(), layer.weight_hh.numpy()).T)
    reused, memo = np.zeros((T, B, 4, H), np.bool_), np.zeros((B, 4, H), np.int32)
    drift, held, acts = np.zeros((B, 4, H), np.float32), *np.zeros((2, B, 4 * H), np.float32)
    thresholds, zone = np.full(4, theta, np.float32), np.zeros((B, H), np.bool_)
    h, c = h0.numpy(), c0.numpy().copy()
    weight, bias = layer.weight_hh.bfloat16().T, layer.bias_hh.numpy()
    for t, step in enumerate(x.numpy()):
        now = binary_products(pack_joint_signs(step, h), signs, x.shape[2] + H).reshape(B, 4, H)
        if t == 0:
            memo[:] = now
        else:
            decide_by_drift(now, memo, drift, thresholds, True, reused[t])
        hidden = (torch.from_numpy(h).bfloat16() @ weight).float().numpy()
        before, h = h, np.empty_like(h)
        lstm_forward(inputs[t].numpy(), hidden, bias, reused[t].reshape(B, -1), zone, held, c, before, acts, h)
    return reused.reshape(T, B, -1)


class MemoizedLSTM(Recurrent):
    """Recurrent layer that can be trained with reuse decisions."""

    def memoized(self, x: Tensor, h0: Tensor, c0: Tensor, lengths: Tensor | None, theta: float) -> tuple[Tensor, tuple]:
        """Run as `forward` does, but reuse the products that memoization would reuse."""
        T, B, _ = x.shape
        inputs = self.input_products(x)
        reused = decide_reuse(self, x.detach(), inputs.detach(), h0.detach(), c0.detach(), theta)
        lengths = torch.full((B,), T) if lengths is None else lengths
        return self.unroll(inputs, h0, c0, lengths, reused, coins(0.0, T, B, self.hidden))
