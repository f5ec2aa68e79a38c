"""Training layer: torch's function and gradient, sequences of unequal length, and growing."""

import numpy as np
import pytest
import torch
from training.recurrent import Recurrent

CELLS = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}


@pytest.fixture(params=CELLS)
def pair(request, monkeypatch):
    """Return our layer and torch's with the same weights, and products in full precision."""
    monkeypatch.setattr(torch.Tensor, "bfloat16", lambda tensor: tensor)
    torch.manual_seed(0)
    ours, theirs = Recurrent(request.param, 7, 5), CELLS[request.param](7, 5)
    with torch.no_grad():
        for name, weight in ours.named_parameters():
            weight.copy_(getattr(theirs, f"{name}_l0"))
    return ours, theirs


def test_outputs_and_gradient_equal_torch(pair):
    ours, theirs = pair
    x = torch.randn(9, 3, 7)
    outputs, expected = ours(x)[0], theirs(x)[0]
    torch.testing.assert_close(outputs, expected, atol=1e-5, rtol=0)
    weights = torch.randn_like(outputs)
    (outputs * weights).sum().backward()
    (expected * weights).sum().backward()
    for name, weight in ours.named_parameters():
        torch.testing.assert_close(weight.grad, getattr(theirs, f"{name}_l0").grad, atol=1e-4, rtol=1e-4)


def test_gradient_in_reverse_over_unequal_lengths_equals_differences(pair):
    ours, _ = pair
    lengths, weights = torch.tensor([6, 4, 1]), torch.randn(6, 3, 5)

    def loss(x):
        outputs, (h, _) = ours(x, lengths=lengths, reverse=True)
        return (outputs * weights).sum() + h.square().sum()

    x = torch.randn(6, 3, 7, requires_grad=True)
    loss(x).backward()
    with torch.no_grad():
        for t, b, i in ((0, 0, 0), (2, 1, 3), (5, 0, 6), (0, 2, 2)):
            step = torch.zeros_like(x)
            step[t, b, i] = 1e-2
            difference = (loss(x + step) - loss(x - step)) / 2e-2
            assert float(x.grad[t, b, i]) == pytest.approx(float(difference), abs=2e-3)


def test_last_state_is_taken_at_the_end_of_each_sequence(pair):
    ours, theirs = pair
    x, lengths = torch.randn(6, 2, 7), [6, 3]
    _, (h, _) = ours(x, lengths=torch.tensor(lengths))
    for row, length in enumerate(lengths):
        torch.testing.assert_close(h[row], theirs(x[:length, row])[0][-1], atol=1e-5, rtol=0)


@pytest.mark.parametrize("cell", CELLS)
def test_grown_layer_passes_its_input_through(cell):
    torch.manual_seed(0)
    layer = Recurrent(cell, 16, 8)
    layer.pass_through(first=8)
    x = 0.5 * torch.randn(1, 64, 16).expand(12, 64, 16)
    repeated = layer(x)[0][-1].detach().numpy()
    for unit in range(8):
        assert np.corrcoef(repeated[:, unit], x[0, :, 8 + unit])[0, 1] > 0.8
