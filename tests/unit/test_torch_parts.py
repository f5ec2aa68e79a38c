"""Recurrent modules inside larger torch models: by name, scripted, quantised, as cells, parametrised."""

import warnings

import numpy as np
import pytest

import archsim
from archsim.errors import NetworkError
from archsim.inference.run import run_inference
from archsim.policies import NoReuse

torch = pytest.importorskip("torch")
from harness_torch import CELL_KINDS, KINDS  # noqa: E402

ENGINES = [engine for engine in torch.backends.quantized.supported_engines if engine != "none"]


@pytest.fixture(autouse=True)
def quiet():
    """Scripts and quantised tensors are deprecated in torch, not here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def outputs_of(network, x):
    return run_inference(network, archsim.Trace.from_arrays([x]), NoReuse(), precision="fp32").outputs[0]


def own_outputs(module, x):
    with torch.no_grad():
        return module(torch.from_numpy(x)[:, None])[0][:, 0].numpy()


class Tagger(torch.nn.Module):
    """A model with layers around its recurrent part."""

    def __init__(self, rnn):
        super().__init__()
        self.front = torch.nn.Linear(4, 6)
        self.encoder = torch.nn.ModuleDict({"rnn": rnn, "norm": torch.nn.LayerNorm(6)})
        self.out = torch.nn.Linear(5, 2)

    def forward(self, x):
        return self.out(self.encoder["rnn"](self.front(x))[0])


def test_only_recurrent_module_is_found_in_a_model():
    rnn, x = torch.nn.GRU(6, 5, 2), drawn(8, 6)
    network = archsim.from_torch(Tagger(rnn))
    np.testing.assert_allclose(outputs_of(network, x), own_outputs(rnn, x), atol=1e-5)
    assert network.digest == archsim.from_torch(rnn).digest and "encoder.rnn" in network.provenance
    assert archsim.from_torch(torch.nn.DataParallel(rnn)).digest == network.digest


@pytest.mark.parametrize("layer", ["encoder.rnn", "encoder"])
def test_layer_is_found_by_its_name_or_that_of_what_holds_it(layer):
    model = torch.nn.ModuleDict({"other": torch.nn.LSTM(3, 4), "tagger": Tagger(torch.nn.LSTM(6, 5))})
    network = archsim.from_torch(model, layer=f"tagger.{layer}", name="mine")
    assert network.digest == archsim.from_torch(model["tagger"].encoder["rnn"]).digest and network.name == "mine"


def two():
    return torch.nn.ModuleDict(
        {"a": torch.nn.LSTM(3, 4), "b": torch.nn.Sequential(torch.nn.RNN(4, 4), torch.nn.Linear(4, 2))}
    )


@pytest.mark.parametrize("make, layer, message", [
    (two, None, r"several recurrent modules: choose one by layer=NAME. Found: a \(LSTM of 3 inputs, 4 units\); b.0 \(RNN of 4"),
    (two, "c", r"no module 'c'.*recurrent modules: a \(LSTM of 3 inputs, 4 units\); b.0"),
    (two, "b.0.rnn", "no module 'b.0.rnn'"),
    (two, "b.1", r"b.1 \(Linear\) is not supported; accepted: nn.LSTM.*recurrent modules elsewhere: a"),
    (lambda: torch.nn.Linear(2, 3), None, "Linear is not supported; accepted: nn.LSTM, nn.GRU, nn.RNN, nn.LSTMCell"),
    (lambda: torch.jit.script(torch.nn.Linear(2, 3)), None, "RecursiveScriptModule is not supported"),
])  # fmt: skip
def test_model_without_one_clear_layer_is_refused(make, layer, message):
    with pytest.raises(NetworkError, match=message):
        archsim.from_torch(make(), layer=layer)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
@pytest.mark.parametrize("bias", [True, False])
def test_cell_is_a_network_of_one_layer(kind, bias):
    torch.manual_seed(2)
    cell = getattr(torch.nn, f"{kind}Cell")(3, 4, bias=bias)
    module = getattr(torch.nn, kind)(3, 4, bias=bias)
    module.load_state_dict({f"{name}_l0": tensor for name, tensor in cell.state_dict().items()})
    x = drawn(7, 3)
    for model in (cell, torch.nn.ModuleList([torch.nn.Linear(2, 3), cell])):
        np.testing.assert_allclose(outputs_of(archsim.from_torch(model), x), own_outputs(module, x), atol=1e-5)


@pytest.mark.parametrize("name", ["weight_ih", "weight_hh", "bias_hh"])
def test_parametrised_cell_has_its_effective_weights(name):
    from torch.nn.utils import prune

    cell, x = torch.nn.GRUCell(3, 4), drawn(7, 3)
    prune.l1_unstructured(cell, name, amount=0.5)
    with torch.no_grad():
        getattr(cell, f"{name}_orig").mul_(1.5)
    state, expected = None, []
    for row in torch.from_numpy(x):
        with torch.no_grad():
            state = cell(row, state)
        expected.append(state.numpy())
    np.testing.assert_allclose(outputs_of(archsim.from_torch(cell), x), expected, atol=1e-5)


def test_cell_with_a_hook_is_refused():
    cell = torch.nn.LSTMCell(3, 4)
    cell.register_forward_hook(lambda module, inputs, state: (state[0] + 1, state[1]))
    with pytest.raises(NetworkError, match="LSTMCell computes something else than its weights say"):
        archsim.from_torch(cell)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "options", [{}, {"num_layers": 2, "bidirectional": True, "batch_first": True}, {"bias": False}]
)
def test_scripted_module_equals_its_source(kind, options, tmp_path):
    rnn = KINDS[kind](4, 5, **options)
    expected = archsim.from_torch(rnn)
    torch.jit.script(torch.nn.Sequential(rnn)).save(tmp_path / "script.pt")
    for script in (
        torch.jit.script(rnn),
        torch.jit.trace(rnn, torch.zeros(3, 3, 4)),
        torch.jit.load(tmp_path / "script.pt"),
    ):
        network = archsim.from_torch(script)
        assert network.digest == expected.digest and f"script of {kind.split()[0]}" in network.provenance
        assert "not run" not in network.provenance


@pytest.mark.parametrize("kind", CELL_KINDS)
def test_scripted_cell_inside_a_model_equals_its_source(kind):
    cell = CELL_KINDS[kind](3, 4)
    script = torch.jit.script(torch.nn.ModuleDict({"a": torch.nn.Linear(2, 3), "b": cell})["b"])
    assert archsim.from_torch(script).digest == archsim.from_torch(cell).digest


class LSTM(torch.nn.Module):
    """A class with torch's name and parameters that computes something else."""

    def __init__(self):
        super().__init__()
        plain = torch.nn.LSTM(3, 4)
        for name, parameter in plain.named_parameters():
            setattr(self, name, parameter)

    def forward(self, x):
        return torch.tanh(x @ self.weight_ih_l0[:4].T), x


class Unlike(LSTM):
    def forward(self, x: int):
        return x


@pytest.mark.parametrize("make, message", [
    (LSTM, "computes something else than its weights say"),
    (Unlike, "is no LSTM or GRU or RNN by its class, and cannot be run to compare"),
])  # fmt: skip
def test_script_that_only_looks_like_an_lstm_is_refused(make, message):
    with pytest.raises(NetworkError, match=message):
        archsim.from_torch(torch.jit.script(make()))


class RNN(Unlike):
    """A class with torch's name that cannot be run, so that nobody can see whether it has tanh or ReLU."""

    def __init__(self):
        super().__init__()
        for name, parameter in torch.nn.RNN(3, 4).named_parameters():
            setattr(self, name, parameter)


def test_script_of_an_rnn_that_cannot_be_run_is_refused():
    with pytest.raises(
        NetworkError, match=r"has more than one meaning \(Cell\('rnn'\), Cell\('rnn-relu'\)\) by its class"
    ):
        archsim.from_torch(torch.jit.script(RNN()))


@pytest.mark.skipif(not ENGINES, reason="torch was built without quantised kernels")
@pytest.mark.parametrize("kind, options", [
    ("LSTM", {}), ("LSTM", {"num_layers": 2, "bidirectional": True}), ("GRU", {}), ("LSTM", {"batch_first": True}),
    ("LSTMCell", {}), ("GRUCell", {}), ("RNNCell", {}), ("RNNCell", {"nonlinearity": "relu"}),
])  # fmt: skip
@pytest.mark.parametrize("dtype", ["qint8", "float16"])
def test_dynamically_quantised_module_is_dequantised_and_says_so(kind, options, dtype):
    if dtype == "float16" and kind.endswith("Cell"):
        pytest.skip("cells are quantised to 8 bits here")
    torch.manual_seed(3)
    rnn = getattr(torch.nn, kind)(8, 6, **options)
    model = torch.nn.Sequential(rnn)
    quantised = torch.ao.quantization.quantize_dynamic(model, {type(rnn)}, dtype=getattr(torch, dtype))
    network = archsim.from_torch(quantised)
    x = drawn(9, 8)
    difference = np.abs(outputs_of(network, x) - outputs_of(archsim.from_torch(rnn), x)).max()
    assert 0 < difference < 0.02  # rounding of weights
    assert f"dequantised from {dtype}; outputs of the quantised module differed by" in network.provenance


def test_import_leaves_a_script_in_its_mode():
    script = torch.jit.script(torch.nn.LSTM(3, 4, 2, dropout=0.5)).train()
    archsim.from_torch(script)
    assert script.training
