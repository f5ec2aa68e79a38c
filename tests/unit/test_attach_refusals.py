"""Torch models are as before after they were attached; what cannot be attached or run is refused with its reason."""

import copy

import pytest

import archsim

torch = pytest.importorskip("torch")
from harness_torch import Model, assert_close  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.utils import prune  # noqa: E402
from torch.nn.utils.rnn import pack_sequence  # noqa: E402

from archsim import attach  # noqa: E402


@pytest.fixture
def model():
    torch.manual_seed(5)
    return Model().eval()


@pytest.fixture
def x():
    torch.manual_seed(6)
    return torch.cumsum(torch.randn(4, 9, 3), dim=1) * 0.3


# The model is as it was


def inside(model):
    return [dict(vars(module)) for module in model.modules()]


def test_a_model_is_as_before_afterwards_and_after_an_exception(model, x):
    before, expected, weights = inside(model), model(x), copy.deepcopy(model.state_dict())
    with attach(model, "bnn", 0.5):
        assert not torch.equal(model(x), expected)
    assert inside(model) == before
    with pytest.raises(ZeroDivisionError), attach(model, "bnn", 0.5):
        model(x)
        raise ZeroDivisionError
    assert inside(model) == before
    assert torch.equal(model(x), expected)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())


def test_a_refused_attachment_leaves_the_model_as_it_was(model):
    before = inside(model)
    for options in ({"threshold": None}, {"threshold": {"secnd": 1.0}}, {"threshold": -1}, {"precision": "fp8"}):
        with pytest.raises(archsim.ArchsimError), attach(model, "bnn", **({"threshold": 0.1} | options)):
            pass
    assert inside(model) == before


def test_attaching_twice_is_refused_and_one_after_the_other_is_not(model, x):
    attachment = attach(model, "none")
    with attachment:
        with pytest.raises(archsim.ArchsimError, match=r"encoder.rnn is attached already: leave that with block first"):
            attachment.__enter__()
        with pytest.raises(archsim.ArchsimError, match="is attached already"), attach(model, layer="cell"):
            pass
        model(x)
    with attach(model, "none") as session:
        model(x)
    assert session.record["sequences"] == 12


def test_copies_of_an_attached_model_are_refused(model):
    with attach(model, "none"), pytest.raises(archsim.ArchsimError, match="encoder.rnn is attached: copy or save"):
        copy.deepcopy(model)


def test_gradients_through_an_attached_module_are_refused(model, x):
    with attach(model, "none"):
        outputs = model(x)
    assert outputs.requires_grad
    with pytest.raises(archsim.ArchsimError, match="cell is attached, and has no gradients"):
        outputs.sum().backward()
    with attach(model, "none"), torch.no_grad():
        assert not model(x).requires_grad
    with attach(model, "none"), torch.inference_mode():
        model(x)


def test_packed_outputs_refuse_gradients_too():
    module = nn.LSTM(3, 4)
    with attach(module, "none"):
        outputs, _ = module(pack_sequence([torch.ones(2, 3), torch.ones(1, 3)]))
    with pytest.raises(archsim.ArchsimError, match="LSTM is attached, and has no gradients"):
        outputs.data.sum().backward()


def test_dropout_in_training_is_refused_and_training_without_it_is_not():
    module, x = nn.LSTM(3, 4, 2, dropout=0.1).train(), torch.ones(2, 1, 3)
    with attach(module, "none"):
        with pytest.raises(archsim.ArchsimError, match=r"LSTM: dropout = 0.1 in training mode.*call model.eval\(\)"):
            module(x)
        module.dropout = 0.0
        module(x)


def test_weights_that_change_inside_are_refused():
    module, x = nn.GRU(3, 4), torch.ones(2, 1, 3)
    with attach(module, "none"), torch.no_grad():
        module.weight_hh_l0.mul_(2)
        with pytest.raises(archsim.ArchsimError, match="GRU: its weights changed after it was attached"):
            module(x)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRUCell])
@pytest.mark.parametrize("wrap", [nn.utils.parametrizations.weight_norm, nn.utils.parametrizations.spectral_norm])
def test_effective_weights_are_attached(kind, wrap):
    torch.manual_seed(0)
    module, x = kind(3, 4), torch.randn(2, 3)
    wrap(module, "weight_hh_l0" if kind is nn.LSTM else "weight_hh")
    module.eval()
    with torch.no_grad():
        expected, before = module(x), inside(module)
        with attach(module, "none", precision="fp32"):
            assert_close(expected, module(x))
    assert inside(module) == before


def test_pruned_cells_are_attached():
    module, x = nn.LSTMCell(3, 4), torch.randn(2, 3)
    prune.l1_unstructured(module, "weight_ih", amount=0.5)
    with torch.no_grad():
        expected = module(x)
        with attach(module, "none", precision="fp32"):
            assert_close(expected, module(x))


# What is attached, and what cannot be


class Own(nn.GRU):
    def forward(self, x):
        return super().forward(x)[0]


class OwnCell(nn.GRUCell):
    def forward(self, x, h):
        return 2 * super().forward(x, h)


@pytest.mark.filterwarnings("ignore")  # torch calls some of these kinds of modules deprecated
def test_all_that_is_refused_stands_in_one_table_with_its_reasons():
    model = nn.ModuleDict({
        "fine": nn.LSTM(3, 4, 2),
        "own": Own(3, 4),
        "own_cell": OwnCell(3, 4),
        "scripted": torch.jit.script(nn.GRU(3, 4)),
        "linear": nn.Linear(2, 2),
    })  # fmt: skip
    with pytest.raises(archsim.ArchsimError) as caught, attach(model, "none"):
        pass
    message = str(caught.value)
    assert "leave them outside by naming the others, as in layer=['NAME']" in message
    for name, reason in (
        ("own", "has a forward of its own"),
        ("own_cell", "has a forward of its own"),
        ("scripted", "compiled by TorchScript"),
    ):
        line = next(line for line in message.splitlines() if line.startswith(f"{name} "))
        assert "refused" in line and reason in line
    with attach(model, "none", layer="fine") as session:
        model["fine"](torch.ones(2, 1, 3))
        assert model["own"](torch.ones(2, 1, 3)).shape == (2, 1, 4)
    shown = str(session)
    assert "simulated here  layers 2, inputs 3, units 4" in shown
    assert shown.count("left outside") == 4


@pytest.mark.filterwarnings("ignore")
def test_what_a_wrapper_might_not_call_is_refused():
    with pytest.raises(archsim.ArchsimError, match="its DataParallel runs copies of its layers: attach its module"):
        attach(nn.DataParallel(nn.LSTM(3, 4)), "none").__enter__()
    with pytest.raises(archsim.ArchsimError, match="its OptimizedModule is compiled"):
        attach(torch.compile(nn.LSTM(3, 4)), "none").__enter__()


@pytest.mark.filterwarnings("ignore")
def test_quantised_modules_are_refused():
    quantised = torch.ao.nn.quantized.dynamic.GRU(3, 4)
    with pytest.raises(archsim.ArchsimError, match="GRU .*refused .*not attached"):
        attach(nn.Sequential(quantised), "none").__enter__()


@pytest.mark.parametrize("model, options, message", [
    (nn.Linear(2, 3), {}, "Linear has no recurrent module to attach, need one of nn.LSTM, nn.LSTMCell, nn.GRU"),
    ("model.pt", {}, "model is a str: need a torch.nn.Module"),
    (nn.LSTM(3, 4), {"layer": "encoder.rnn"}, "unknown recurrent module 'encoder.rnn'; known: LSTM"),
    (nn.LSTM(3, 4), {"policy": "bnn"}, "threshold: policy 'bnn' needs one for LSTM: a number >= 0"),
    (nn.LSTM(3, 4), {"threshold": {"rnn": 1}}, "unknown attached module in threshold 'rnn'; known: LSTM"),
    (nn.LSTM(3, 4), {"policy": "ternary", "threshold": 1}, "scales: policy 'ternary' needs those of LSTM"),
    (nn.LSTM(3, 4), {"precision": "fp8"}, "precision = 'fp8': accepted"),
])  # fmt: skip
def test_what_cannot_be_attached_is_refused(model, options, message):
    with pytest.raises(archsim.ArchsimError, match=message):
        attach(model, **({"policy": "none"} | options)).__enter__()


@pytest.mark.parametrize("x, hx, error, message", [
    (torch.ones(3), None, ValueError, "2D or 3D, got 1D"),
    (torch.ones(2, 1, 4), None, RuntimeError, "Expected 3, got 4"),
    (torch.ones(2, 1, 3).double(), None, ValueError, "does not match weight dtype"),
    (torch.ones(2, 1, 3), torch.ones(1, 4), RuntimeError, "should also be 3-D, got 2-D"),
    (torch.ones(2, 1, 3), torch.ones(1, 2, 4), RuntimeError, "Expected hidden size"),
    (torch.ones(0, 1, 3), None, RuntimeError, "sequence length to be larger than 0"),
    (torch.full((2, 1, 3), torch.nan), None, archsim.ArchsimError, "GRU: step 0 or later holds NaN"),
    (torch.full((2, 1, 3), 1e6), None, archsim.ArchsimError, "GRU holds 1e\\+06, binary16 ends at 65504"),
])  # fmt: skip
def test_inputs_that_do_not_fit_are_refused_as_torch_does(x, hx, error, message):
    module = nn.GRU(3, 4)
    with attach(module, "none") as session:
        with pytest.raises(error, match=message):
            module(x, hx)
        assert session.record["sequences"] == 0


def test_an_empty_batch_gives_empty_outputs():
    module, x = nn.LSTM(3, 4, 2, batch_first=True), torch.zeros(0, 5, 3)
    with attach(module, "none") as session:
        outputs, (h, c) = module(x)
    assert (outputs.shape, h.shape, c.shape) == ((0, 5, 4), (2, 0, 4), (2, 0, 4))
    assert session.record["sequences"] == 0
