"""A torch model with several recurrent parts, and comparison of what torch modules return."""

from functools import partial

import numpy as np
import torch
from torch import nn

TOLERANCE = 1e-5
KINDS = {
    "LSTM": nn.LSTM,
    "GRU": nn.GRU,
    "RNN": nn.RNN,
    "RNN with ReLU": partial(nn.RNN, nonlinearity="relu"),
}
"""Makers of recurrent modules by what they are called in tests."""
CELL_KINDS = {
    "LSTMCell": nn.LSTMCell,
    "GRUCell": nn.GRUCell,
    "RNNCell": nn.RNNCell,
    "RNNCell with ReLU": partial(nn.RNNCell, nonlinearity="relu"),
}


class Model(nn.Module):
    """A convolution, two recurrent layers of other kinds with a linear one between, and a cell in a loop."""

    def __init__(self):
        super().__init__()
        self.front = nn.Conv1d(3, 4, 3, padding=1)
        self.encoder = nn.ModuleDict({"rnn": nn.LSTM(4, 5, 2, batch_first=True, bidirectional=True)})
        self.middle = nn.Linear(10, 4)
        self.second = nn.GRU(4, 6)
        self.cell = nn.GRUCell(6, 3)

    def forward(self, x):
        y = self.front(x.transpose(1, 2)).transpose(1, 2)
        y = self.middle(self.encoder["rnn"](y)[0])
        y, _ = self.second(y.transpose(0, 1))
        h = y.new_zeros(y.shape[1], 3)
        for step in y:
            h = self.cell(step, h)
        return h


def tensors_in(outputs):
    """Yield all tensors of what a recurrent module returns."""
    if isinstance(outputs, torch.Tensor):
        yield outputs
    else:
        for part in outputs:
            if part is not None:
                yield from tensors_in(part)


def assert_close(expected, given):
    for before, after in zip(tensors_in(expected), tensors_in(given), strict=True):
        assert (before.shape, before.dtype) == (after.shape, after.dtype)
        np.testing.assert_allclose(after.detach(), before.detach(), atol=TOLERANCE, rtol=TOLERANCE)
