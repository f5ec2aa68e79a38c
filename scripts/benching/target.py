"""Measured layer: a BiLSTM 640 → 320 over sequences of 200 steps, in float32."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

import archsim
from archsim.ir.network import Scales

INPUTS, UNITS, STEPS, THETA = 640, 320, 200, 0.3
SCALES = Scales((0.8,), ((0.1, 0.1),))
"""Mean magnitudes of inputs and outputs of the layer, for policies that quantise them."""


@dataclass(frozen=True)
class Target:
    """Layer as a module of torch and as a network of archsim, with the same inputs for both."""

    module: torch.nn.LSTM
    inputs: torch.Tensor
    """Inputs (T, B, I)."""
    network: archsim.Network
    trace: archsim.Trace

    def infer(self) -> torch.Tensor:
        """Run plain inference and return the outputs."""
        with torch.no_grad():
            outputs: torch.Tensor = self.module(self.inputs)[0]
        return outputs


def target(sequences: int, *, steps: int = STEPS, inputs: int = INPUTS, units: int = UNITS) -> Target:
    """Return a target with random weights and inputs, which are equal in every call."""
    torch.manual_seed(0)
    module = torch.nn.LSTM(inputs, units, bidirectional=True)
    x = torch.randn(steps, sequences, inputs)
    network = replace(archsim.from_torch(module), name="bilstm", scales=SCALES)
    trace = archsim.Trace.from_arrays(list(np.ascontiguousarray(x.numpy().transpose(1, 0, 2))), name="random")
    return Target(module, x, network, trace)
