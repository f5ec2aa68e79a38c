"""torch as the oracle: with reuse off, fp32 outputs equal its CPU result to 1e-5."""

import warnings

import numpy as np
import pytest

import archsim

torch = pytest.importorskip("torch")

from harness_torch import KINDS  # noqa: E402


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layers, bidirectional", [(1, False), (3, False), (2, True)])
@pytest.mark.parametrize("bias", [True, False])
def test_outputs_equal_torch(kind, layers, bidirectional, bias, rng):
    torch.manual_seed(3)
    module = KINDS[kind](19, 23, layers, bidirectional=bidirectional, bias=bias)
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
    (lambda: "model.pt", "got a str, need a torch module"),
])  # fmt: skip
def test_unsupported_modules_are_refused(module, message):
    with pytest.raises(archsim.ArchsimError, match=message):
        archsim.from_torch(module())


def test_nan_weights_are_refused():
    module = torch.nn.GRU(3, 4)
    with torch.no_grad():
        module.weight_hh_l0[2, 1] = float("nan")
    with pytest.raises(archsim.ArchsimError, match="weight_hh holds NaN"):
        archsim.from_torch(module)


def test_double_and_batch_first_modules_are_accepted():
    """The layout of the batch does not matter here, and weights become float32."""
    module = torch.nn.LSTM(3, 4, batch_first=True).double()
    assert archsim.from_torch(module).layers[0].directions[0].weight_ih.dtype == np.float32


# Weights that are derived from other parameters


def parametrised(module, name):
    class Doubled(torch.nn.Module):
        def forward(self, weight):
            return 2 * weight

    torch.nn.utils.parametrize.register_parametrization(module, name, Doubled())


def pruned(module, name):
    from torch.nn.utils import prune

    prune.l1_unstructured(module, name, amount=0.5)
    with torch.no_grad():
        getattr(module, f"{name}_orig").mul_(1.5)  # what is used is refreshed when the module is called


def normalised(module, name):
    torch.nn.utils.parametrizations.weight_norm(module, name)
    with torch.no_grad():
        module.parametrizations[name].original0.mul_(1.5)


def spectrally_normalised(module, name):
    torch.nn.utils.parametrizations.spectral_norm(module, name)


def normalised_as_before(module, name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.nn.utils.weight_norm(module, name)
    with torch.no_grad():
        getattr(module, f"{name}_g").mul_(1.5)


def spectrally_normalised_as_before(module, name):
    torch.nn.utils.spectral_norm(module, name)


def as_it_is(module, name):
    pass


WAYS = [parametrised, pruned, normalised, spectrally_normalised, normalised_as_before, spectrally_normalised_as_before]
WEIGHTS = ["weight_ih_l0", "weight_hh_l1"]


def outputs_of(network, x):
    result = archsim.simulate(network, archsim.Trace.from_arrays([x]), policy="none", precision="fp32")
    return result.outputs[0]


def own_outputs(module, x):
    module.eval()
    with torch.no_grad():
        return module(torch.tensor(x, dtype=next(module.parameters()).dtype))[0].numpy()


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
@pytest.mark.parametrize("way, name", [
    *((way, name) for way in WAYS for name in WEIGHTS),
    *((way, name) for way in (as_it_is, parametrised, pruned) for name in ("bias_hh_l0", "bias_ih_l1")),
])  # fmt: skip
def test_imported_weights_are_the_ones_the_module_computes_with(way, kind, name, rng):
    torch.manual_seed(3)
    module = getattr(torch.nn, kind)(5, 4, 2)
    way(module, name)
    x = rng.standard_normal((9, 5)).astype(np.float32)
    before, training = module.state_dict(), module.training
    taken = archsim.from_torch(module)
    assert module.training == training
    after = module.state_dict()
    assert list(after) == list(before) and all(torch.equal(after[key], before[key]) for key in before)
    np.testing.assert_allclose(outputs_of(taken, x), own_outputs(module, x), atol=1e-5)


def test_parametrised_bidirectional_module_equals_torch(rng):
    module = torch.nn.GRU(5, 4, 2, bidirectional=True, batch_first=True)
    for way, name in ((pruned, "weight_ih_l1_reverse"), (parametrised, "bias_ih_l0"), (normalised, "weight_hh_l0")):
        way(module, name)
    x = rng.standard_normal((9, 5)).astype(np.float32)
    np.testing.assert_allclose(outputs_of(archsim.from_torch(module), x), own_outputs(module, x), atol=1e-5)


@pytest.mark.parametrize("called_before", [False, True])
def test_weight_drop_module_is_imported_without_dropout(called_before, rng):
    """WeightDrop of AWD-LSTM has a raw parameter, and makes a weight of it whenever it is called."""
    module = torch.nn.LSTM(5, 4)
    plain = archsim.from_torch(module)
    raw = torch.nn.Parameter(module.weight_hh_l0.data)
    del module._parameters["weight_hh_l0"]
    module.register_parameter("weight_hh_l0_raw", raw)
    if called_before:
        module.weight_hh_l0 = torch.nn.functional.dropout(raw, 0.5, training=True)
    kept = vars(module).get("weight_hh_l0")
    x = rng.standard_normal((9, 5)).astype(np.float32)
    np.testing.assert_array_equal(outputs_of(archsim.from_torch(module), x), outputs_of(plain, x))
    assert vars(module).get("weight_hh_l0") is kept


class LearnedStart(torch.nn.LSTM):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.h0 = torch.nn.Parameter(torch.randn(1, 1, sizes[1]))

    def forward(self, x, hx=None):
        start = self.h0.expand(-1, x.shape[1], -1).contiguous()
        return super().forward(x, (start, torch.zeros_like(start)))


class FixedSizes(torch.nn.LSTM):
    def __init__(self):
        super().__init__(5, 4)


def with_a_hook():
    module = torch.nn.GRU(5, 4)
    module.register_forward_hook(lambda module, inputs, outputs: (outputs[0] + 1, outputs[1]))
    return module


def with_inputs_changed():
    module = torch.nn.GRU(5, 4)
    module.register_forward_pre_hook(lambda module, inputs: (2 * inputs[0],))
    return module


def with_a_weight_lost():
    module = torch.nn.LSTM(5, 4)
    del module.bias_hh_l0
    return module


def with_a_forward_put_on():
    module = torch.nn.LSTM(5, 4)
    module.forward = lambda x: (x[..., :4], None)
    return module


@pytest.mark.parametrize("make, message", [
    (lambda: LearnedStart(5, 4), "LearnedStart has a forward of its own.*it keeps h0: bake them in"),
    (with_a_forward_put_on, "LSTM has a forward of its own"),
    (with_a_hook, r"GRU computes something else than its weights say \(outputs differ by 1"),
    (with_inputs_changed, "GRU computes something else"),
    (with_a_weight_lost, "LSTM cannot be run: .*bias_hh_l0"),
    (lambda: torch.nn.LSTM(5, 4, device="meta"), "LSTM has weights without values"),
    (lambda: torch.nn.Sequential(torch.nn.Linear(5, 4), with_a_hook()), "GRU computes something else"),
])  # fmt: skip
def test_module_with_another_forward_is_refused(make, message):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch.jit, which is deprecated
        module = make()
    with pytest.raises(archsim.ArchsimError, match=message):
        archsim.from_torch(module)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_modules_of_other_precisions_are_accepted(dtype, rng):
    module = FixedSizes().to(getattr(torch, dtype))
    x = rng.standard_normal((9, 5)).astype(np.float32)
    atol = 1e-5 if dtype == "float64" else 0.05
    np.testing.assert_allclose(outputs_of(archsim.from_torch(module), x), own_outputs(module.float(), x), atol=atol)


def test_import_leaves_the_random_state_and_mode_unchanged():
    module = torch.nn.LSTM(5, 4, 2, dropout=0.5).train()
    torch.manual_seed(1)
    archsim.from_torch(module)
    after = torch.rand(1)
    torch.manual_seed(1)
    assert torch.rand(1) == after and module.training
