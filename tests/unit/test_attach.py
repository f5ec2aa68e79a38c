"""Attaching to torch models: torch is the oracle without reuse, an inference run of what was recorded is it with reuse."""

import copy
import gc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import archsim
from archsim.inference.run import run_inference
from archsim.policies import policy_from

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn.utils import prune  # noqa: E402
from torch.nn.utils.rnn import pack_sequence  # noqa: E402

from archsim.live.torch_session import attach  # noqa: E402

TOLERANCE = 1e-5


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


@pytest.fixture
def model():
    torch.manual_seed(5)
    return Model().eval()


@pytest.fixture
def x():
    torch.manual_seed(6)
    return torch.cumsum(torch.randn(4, 9, 3), dim=1) * 0.3


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
        np.testing.assert_allclose(after.detach(), before.detach(), atol=TOLERANCE)


# Without reuse everything equals torch


@st.composite
def stacks(draw):
    """Draw an nn.LSTM or nn.GRU with any options."""
    torch.manual_seed(draw(st.integers(0, 2**31)))
    module_class = draw(st.sampled_from([nn.LSTM, nn.GRU]))
    sizes = [draw(st.integers(1, 5)), draw(st.integers(1, 6)), draw(st.integers(1, 3))]
    options = {name: draw(st.booleans()) for name in ("bias", "batch_first", "bidirectional")}
    dropout = draw(st.sampled_from([0.0, 0.5])) if sizes[2] > 1 else 0.0
    module = module_class(*sizes, **options, dropout=dropout)
    return module.to(draw(st.sampled_from([torch.float32, torch.float32, torch.float64]))).eval()


@st.composite
def calls(draw, module):
    """Draw inputs that the module takes, dense, without batch or packed, and initial states or none."""
    layout = draw(st.sampled_from(["dense", "dense", "one", "packed", "sorted"]))
    lengths = draw(st.lists(st.integers(1, 8), min_size=1, max_size=5))
    n, dtype = len(lengths), next(module.parameters()).dtype
    lead = [module.num_layers * (1 + module.bidirectional), *([] if layout == "one" else [n])]
    states = [torch.rand(*lead, module.hidden_size, dtype=dtype) * 2 - 1 for _ in range(2)]
    hx = None if draw(st.booleans()) else tuple(states) if isinstance(module, nn.LSTM) else states[0]
    if layout in ("packed", "sorted"):
        lengths = sorted(lengths, reverse=True) if layout == "sorted" else lengths
        sequences = [torch.randn(t, module.input_size, dtype=dtype) for t in lengths]
        return pack_sequence(sequences, enforce_sorted=layout == "sorted"), hx
    shape = [lengths[0]] if layout == "one" else [n, lengths[0]] if module.batch_first else [lengths[0], n]
    return torch.randn(*shape, module.input_size, dtype=dtype), hx


@settings(max_examples=300)
@given(data=st.data())
def test_stacks_equal_torch_whatever_their_options(data):
    module = data.draw(stacks())
    made = [data.draw(calls(module)) for _ in range(2)]
    with torch.no_grad():
        expected = [module(*call) for call in made]
        with attach(module, "none", precision="fp32"):
            given = [module(*call) for call in made]
        assert_close(expected, given)


@settings(max_examples=100)
@given(
    kind=st.sampled_from([nn.LSTMCell, nn.GRUCell]),
    sizes=st.tuples(st.integers(1, 5), st.integers(1, 6)),
    batch=st.integers(0, 5),
    bias=st.booleans(),
    steps=st.integers(1, 6),
    given_state=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_cells_in_a_loop_equal_torch(kind, sizes, batch, bias, steps, given_state, seed):
    """A batch of 0 stands for inputs without a batch axis."""
    torch.manual_seed(seed)
    module = kind(*sizes, bias=bias)
    lead = [batch] if batch else []
    x = torch.randn(steps, *lead, sizes[0])
    states = tuple(torch.randn(*lead, sizes[1]) for _ in range(2))
    start = None if not given_state else states if kind is nn.LSTMCell else states[0]

    def loop():
        state, seen = start, []
        for step in x:
            state = module(step, state)
            seen.append(state)
        return seen

    with torch.no_grad():
        expected = loop()
        with attach(module, "none", precision="fp32") as session:
            given = loop()
    assert_close(expected, given)
    assert session.trace.sequences[0].shape == (steps, sizes[0])


def test_a_model_of_several_kinds_equals_itself(model, x):
    expected = model(x)
    with attach(model, "none", precision="fp32") as session:
        assert_close(expected, model(x))
    assert list(session.parts) == ["encoder.rnn", "second", "cell"]


# With reuse, the record is what an inference run of the recorded trace gives


@settings(max_examples=60)
@given(data=st.data(), policy=st.sampled_from(["bnn", "oracle", "delta"]), precision=st.sampled_from(["fp16", "fp32"]))
def test_recorded_decisions_are_those_of_a_run_of_the_recorded_trace(data, policy, precision):
    module = data.draw(stacks())
    with attach(module, policy, 0.4, precision) as session, torch.no_grad():
        for _ in range(data.draw(st.integers(1, 3))):
            module(*data.draw(calls(module)))
    part = next(iter(session.parts.values()))
    run = run_inference(session.network, session.trace, policy_from(policy), 0.4, precision=precision)
    for key, bits in run.activity.bits.items():
        assert len(bits) == len(part.inference.activity.bits[key])
        for before, after in zip(bits, part.inference.activity.bits[key], strict=True):
            np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("policy, precision", [("bnn", "fp16"), ("delta", "fp32"), ("none", "fp16")])
def test_simulation_of_a_session_is_that_of_its_network_and_trace(policy, precision, x, computed_policies):
    module = nn.LSTM(3, 5, 2, batch_first=True)
    with attach(module, policy, 0.3, precision) as session:
        module(x)
        module(x[:2], None)
    result = session.simulate("epur")
    assert computed_policies == [], "nothing is inferred again"
    direct = archsim.simulate(session.network, session.trace, policy=policy, threshold=0.3, precision=precision)
    assert result.record | {"wall_s": 0} == direct.record | {"wall_s": 0}
    assert result.energy.equals(direct.energy)
    live = session.record
    for key in (
        "sequences",
        "steps",
        "neurons_total",
        "neurons_reused",
        "reuse_fraction",
        "macs_total",
        "output_change",
    ):
        assert live[key] == direct.record[key], key
    assert live["macs_avoided_fraction"] == pytest.approx(direct.record["macs_avoided_fraction"], abs=1e-12)


def test_outputs_with_reuse_are_those_of_a_simulation(x):
    module = nn.GRU(3, 5, bidirectional=True, batch_first=True)
    with attach(module, "bnn", 0.5) as session, torch.no_grad():
        outputs = module(x)[0]
    result = archsim.simulate(session.network, session.trace, threshold=0.5)
    np.testing.assert_array_equal(outputs.numpy(), np.stack(result.outputs))


# Sequences that come call by call


def test_a_cell_in_a_loop_decides_as_the_layer_over_whole_sequences(x):
    layer, cell = nn.LSTM(3, 5, batch_first=True), nn.LSTMCell(3, 5)
    cell.load_state_dict({name.removesuffix("_l0"): tensor for name, tensor in layer.state_dict().items()})
    with attach(layer, "bnn", 0.5) as whole, torch.no_grad():
        layer(x)
    with attach(cell, "bnn", 0.5) as stepwise, torch.no_grad():
        state = None
        for step in x.transpose(0, 1):
            state = cell(step, state)
    assert stepwise.record["neurons_reused"] == whole.record["neurons_reused"] > 0
    assert stepwise.trace.digest == whole.trace.digest
    assert stepwise.simulate().record["cycles"] == whole.simulate().record["cycles"]


def test_a_layer_called_in_pieces_goes_on_with_its_memos(x):
    layer = nn.GRU(3, 5, 2, batch_first=True)
    with attach(layer, "bnn", 0.5) as whole, torch.no_grad():
        expected = layer(x)[0]
    with attach(layer, "bnn", 0.5) as pieces, torch.no_grad():
        first, state = layer(x[:, :4])
        second, _ = layer(x[:, 4:], state.clone())
    assert torch.equal(expected, torch.cat([first, second], dim=1))
    assert pieces.trace.digest == whole.trace.digest
    assert pieces.record["output_change"] == whole.record["output_change"]


@pytest.mark.parametrize("change", [lambda h: h * 0.5, lambda h: h[:2], lambda h: h.flip(0), lambda h: None])
def test_another_state_begins_another_sequence(change, x):
    cell = nn.GRUCell(3, 5)
    with attach(cell, "bnn", 10.0) as session, torch.no_grad():
        h = change(cell(x[:, 0]))
        cell(x[: 4 if h is None else len(h), 1], h)
    assert {len(sequence) for sequence in session.trace.sequences} == {1}
    assert session.record["neurons_reused"] == 0


def test_a_state_changed_in_place_begins_another_sequence(x):
    cell = nn.GRUCell(3, 5)
    with attach(cell, "none", precision="fp32") as session, torch.no_grad():
        h = cell(x[:, 0])
        h[1] = 0  # as loops do whose sequences end at different steps
        given = cell(x[:, 1], h)
    assert len(session.trace) == 8
    assert_close(cell(x[:, 1], h), given)


def test_sequences_in_progress_are_in_the_record_so_far(x):
    cell = nn.GRUCell(3, 5)
    with attach(cell, "bnn", 0.5) as session, torch.no_grad():
        h = cell(x[:, 0])
        assert session.record["steps"] == 4
        cell(x[:, 1], h)
        assert session.record["steps"] == 8
        assert session.simulate().record["steps"] == 8


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
        "projected": nn.LSTM(3, 4, proj_size=2),
        "elman": nn.RNN(3, 4),
        "step": nn.RNNCell(3, 4),
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
        ("projected", "proj_size = 2 is not supported; accepted: 0"),
        ("elman", "not simulated; accepted: nn.LSTM, nn.LSTMCell"),
        ("step", "not simulated; accepted"),
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
    assert shown.count("left outside") == 7


@pytest.mark.filterwarnings("ignore")
def test_what_a_wrapper_might_not_call_is_refused():
    with pytest.raises(archsim.ArchsimError, match="its DataParallel runs copies of its layers: attach its module"):
        attach(nn.DataParallel(nn.LSTM(3, 4)), "none").__enter__()
    with pytest.raises(archsim.ArchsimError, match="its OptimizedModule is compiled"):
        attach(torch.compile(nn.LSTM(3, 4)), "none").__enter__()


@pytest.mark.filterwarnings("ignore")
def test_quantised_modules_are_refused():
    quantised = torch.ao.nn.quantized.dynamic.GRU(3, 4)
    with pytest.raises(archsim.ArchsimError, match="GRU .*refused .*not simulated"):
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


# Sessions


def test_shares_of_the_parts_sum_to_the_whole(model, x):
    with attach(model, "bnn", {"encoder.rnn": 0.5, "second": 0.2, "cell": 0.0}) as session:
        model(x)
    result = session.simulate()
    parts = list(result.parts.values())
    assert list(result.record) == list(parts[0].record)
    for key in ("cycles", "baseline_cycles", "neurons_reused", "macs_total", "dram_bytes", "steps", "events"):
        assert result.record[key] == sum(part.record[key] for part in parts), key
    for key in ("energy_j", "time_s", "energy_dram_j", "baseline_energy_j"):
        assert result.record[key] == pytest.approx(sum(part.record[key] for part in parts)), key
    for key in ("cycles_share", "energy_j_share", "macs_total_share"):
        assert result.shares[key].sum() == pytest.approx(1), key
    assert result.energy["joules"].sum() == pytest.approx(result.record["energy_j"])
    assert result.record["speedup"] == result.record["baseline_cycles"] / result.record["cycles"]
    assert result.record["threshold"] is None, "parts have θ of their own"
    assert [r["reuse_fraction"] for r in session.record["parts"]] == [p.record["reuse_fraction"] for p in parts]
    for key in ("neurons_reused", "reuse_fraction", "output_change"):
        assert result.record[key] == session.record[key], key


def test_a_sum_is_written_as_json_with_its_parts(model, x, tmp_path):
    import json

    with attach(model, "bnn", 0.5) as session:
        model(x)
    result = session.simulate()
    result.to_json(tmp_path / "r.json")
    records = json.loads((tmp_path / "r.json").read_text())
    assert [r["network"] for r in records] == ["encoder.rnn + second + cell", "encoder.rnn", "second", "cell"]
    assert list(result.summary().index) == list(records[0])
    assert "encoder.rnn, second, cell" in repr(result)


def test_networks_and_traces_of_several_parts_go_by_name(model, x):
    with attach(model, "none") as session:
        model(x)
    assert list(session.network) == list(session.trace) == ["encoder.rnn", "second", "cell"]
    assert session.trace["cell"].sequences[0].shape == (9, 6)


def test_a_part_that_was_never_called_is_in_no_sum(model, x):
    with attach(model, "none") as session:
        model.second(torch.ones(3, 2, 4))
    assert list(session.simulate().parts) == ["second"]
    assert [r["output_change"] for r in session.record["parts"]] == [None, 0.0, None]


def test_a_session_without_calls_says_so(model):
    with attach(model, "none") as session:
        pass
    for ask in (session.simulate, lambda: session.trace):
        with pytest.raises(archsim.ArchsimError, match=r"nothing has gone through encoder.rnn, second, cell yet"):
            ask()
    assert session.record["reuse_fraction"] is None


def test_initial_states_are_recorded(x):
    module = nn.GRU(3, 5, 2, batch_first=True)
    h = torch.rand(2, 4, 5)
    with attach(module, "none") as session, torch.no_grad():
        module(x)
        module(x, h)
        module(x, torch.zeros(2, 4, 5))
    starts = session.trace.starts
    assert [(start.layer, start.direction) for start in starts] == [(0, 0), (1, 0)]
    np.testing.assert_array_equal(starts[1].h, np.concatenate([np.zeros((4, 5)), h[1].numpy(), np.zeros((4, 5))]))


def test_scales_are_measured_on_a_session_and_given_to_the_next(x):
    module = nn.GRU(3, 5, batch_first=True)
    with attach(module, "none") as first:
        module(x)
    scales = archsim.measure_scales(first.network, first.trace)
    with attach(module, "ternary", 0.3, scales={"GRU": scales}) as session:
        module(x)
    assert session.record["neurons_reused"] > 0


# Inputs on disk


def test_inputs_beyond_the_limit_go_to_files_that_are_removed(model, x):
    with attach(model, "bnn", 0.5) as in_memory:
        for _ in range(3):
            model(x)
    with attach(model, "bnn", 0.5, memory_bytes=1000) as session:
        for _ in range(3):
            model(x)
    folder = session.parts["cell"].frames.folder
    assert len(list(folder.glob("*.frames"))) > 1
    assert in_memory.parts["cell"].frames.folder is None
    traces = session.trace
    assert {name: trace.digest for name, trace in traces.items()} == {
        name: trace.digest for name, trace in in_memory.trace.items()
    }
    assert session.simulate().record["digest"] == in_memory.simulate().record["digest"]
    del session
    gc.collect()
    assert not folder.exists()
    assert np.isfinite(traces["cell"].sequences[0]).all(), "what was read before stays valid"


def test_a_trace_of_files_takes_no_memory_of_its_own(x):
    module = nn.GRU(3, 5, batch_first=True)
    with attach(module, "none", memory_bytes=10) as session:
        module(x)
    first, second = session.trace.sequences[0], session.trace.sequences[0]
    assert first.ctypes.data == second.ctypes.data
    assert not first.flags.writeable


def test_closing_a_session_removes_its_files(x):
    module = nn.GRU(3, 5, batch_first=True)
    with attach(module, "none", memory_bytes=10) as session:
        module(x)
    folder = session.parts["GRU"].frames.folder
    session.close()
    assert not folder.exists()
