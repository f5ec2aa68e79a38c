"""Attached torch modules: torch is the oracle without reuse, an inference run of what was recorded is it with reuse."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archsim.inference.run import run_inference
from archsim.policies import policy_from

torch = pytest.importorskip("torch")
from harness_torch import CELL_KINDS, KINDS, Model, assert_close  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.utils.rnn import pack_sequence  # noqa: E402

from archsim import ArchsimError, attach  # noqa: E402


@pytest.fixture
def model():
    torch.manual_seed(5)
    return Model().eval()


@pytest.fixture
def x():
    torch.manual_seed(6)
    return torch.cumsum(torch.randn(4, 9, 3), dim=1) * 0.3


# Without reuse everything equals torch


@st.composite
def stacks(draw):
    """Draw an nn.LSTM, nn.GRU or nn.RNN with any options."""
    torch.manual_seed(draw(st.integers(0, 2**31)))
    make = KINDS[draw(st.sampled_from(list(KINDS)))]
    sizes = [draw(st.integers(1, 5)), draw(st.integers(1, 6)), draw(st.integers(1, 3))]
    options = {name: draw(st.booleans()) for name in ("bias", "batch_first", "bidirectional")}
    dropout = draw(st.sampled_from([0.0, 0.5])) if sizes[2] > 1 else 0.0
    if make is nn.LSTM and sizes[1] > 1 and draw(st.booleans()):
        options["proj_size"] = draw(st.integers(1, sizes[1] - 1))
    module = make(*sizes, **options, dropout=dropout)
    return module.to(draw(st.sampled_from([torch.float32, torch.float32, torch.float64]))).eval()


@st.composite
def calls(draw, module):
    """Draw inputs that the module takes, dense, without batch or packed, and initial states or none."""
    layout = draw(st.sampled_from(["dense", "dense", "one", "packed", "sorted"]))
    lengths = draw(st.lists(st.integers(1, 8), min_size=1, max_size=5))
    n, dtype = len(lengths), next(module.parameters()).dtype
    lead = [module.num_layers * (1 + module.bidirectional), *([] if layout == "one" else [n])]
    sizes = module.proj_size or module.hidden_size, module.hidden_size
    states = [torch.rand(*lead, size, dtype=dtype) * 2 - 1 for size in sizes]
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
    kind=st.sampled_from(list(CELL_KINDS)),
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
    module = CELL_KINDS[kind](*sizes, bias=bias)
    lead = [batch] if batch else []
    x = torch.randn(steps, *lead, sizes[0])
    states = tuple(torch.randn(*lead, sizes[1]) for _ in range(2))
    start = None if not given_state else states if kind == "LSTMCell" else states[0]

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


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_outputs_have_the_type_of_the_inputs(dtype):
    module, x = nn.LSTM(3, 4, batch_first=True).to(dtype), torch.randn(2, 5, 3).to(dtype)
    with attach(module, "none") as session, torch.no_grad():
        outputs, state = module(x)
        module(x, state)
    assert {tensor.dtype for tensor in (outputs, *state)} == {dtype}
    np.testing.assert_allclose(outputs.float(), module(x)[0].detach().float(), atol=0.02)
    assert len(session.trace) == 2, "the second call went on from the first"


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


def test_a_call_that_failed_is_not_continued(x):
    layer = nn.GRU(3, 5, batch_first=True)
    with attach(layer, "none", precision="fp32"), torch.no_grad():
        _, state = layer(x)
        with pytest.raises(ArchsimError, match="NaN"):
            layer(x * torch.nan)
        given = layer(x, state)
    assert_close(layer(x, state), given)


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
