"""torch as the oracle: with reuse off, fp32 outputs equal its CPU result to 1e-5."""

import numpy as np
import pytest

import archsim

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
@pytest.mark.parametrize("layers, bidirectional", [(1, False), (3, False), (2, True)])
@pytest.mark.parametrize("bias", [True, False])
def test_outputs_equal_torch(kind, layers, bidirectional, bias, rng):
    torch.manual_seed(3)
    module = getattr(torch.nn, kind)(19, 23, layers, bidirectional=bidirectional, bias=bias)
    sequences = [rng.standard_normal((t, 19)).astype(np.float32) for t in (1, 40, 17)]
    result = archsim.simulate(
        archsim.from_torch(module), archsim.Trace.from_arrays(sequences), policy="none", precision="fp32"
    )
    with torch.no_grad():
        for x, outputs in zip(sequences, result.outputs, strict=True):
            expected = module(torch.from_numpy(x))[0].numpy()
            np.testing.assert_allclose(outputs, expected, atol=1e-5)


@pytest.mark.parametrize("module, message", [
    (lambda: torch.nn.Linear(3, 4), "Linear is not supported; accepted: nn.LSTM, nn.GRU"),
    (lambda: torch.nn.LSTM(3, 4, proj_size=2), "proj_size = 2 is not supported"),
    (lambda: torch.nn.RNN(3, 4), "RNN is not supported"),
])  # fmt: skip
def test_other_modules_are_refused(module, message):
    with pytest.raises(archsim.ArchsimError, match=message):
        archsim.from_torch(module())


def test_nan_weights_are_refused():
    module = torch.nn.GRU(3, 4)
    with torch.no_grad():
        module.weight_hh_l0[2, 1] = float("nan")
    with pytest.raises(archsim.ArchsimError, match="weight_hh holds NaN"):
        archsim.from_torch(module)


def test_double_and_batch_first_modules_are_taken():
    """The layout of the batch does not matter here, and weights become float32."""
    module = torch.nn.LSTM(3, 4, batch_first=True).double()
    assert archsim.from_torch(module).layers[0].directions[0].weight_ih.dtype == np.float32
