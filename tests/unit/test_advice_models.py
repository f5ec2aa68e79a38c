"""Advice on torch and ONNX models, whose other layers stay theirs."""

import warnings

import numpy as np
import pytest

import archsim
from archsim.advising.subjects import halves_of
from archsim.errors import ArchsimError

torch = pytest.importorskip("torch")


class Model(torch.nn.Module):
    """A rectifying layer, a GRU, and a linear layer."""

    def __init__(self):
        super().__init__()
        self.front = torch.nn.Linear(4, 24)
        self.rnn = torch.nn.GRU(24, 32, batch_first=True)
        self.out = torch.nn.Linear(32, 3)

    def forward(self, x):
        return self.out(self.rnn(torch.relu(self.front(x)))[0])


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Model().eval()


@pytest.fixture(scope="module")
def inputs():
    generator = torch.Generator().manual_seed(1)
    return [0.1 * torch.randn(2, 30, 4, generator=generator).cumsum(1) for _ in range(6)]


def agreement(model, pair):
    """Return the percentage of steps whose class is the expected one."""
    x, expected = pair
    with torch.no_grad():
        return 100 * (model(x).argmax(-1) == expected).double().mean()


@pytest.fixture(scope="module")
def pairs(model, inputs):
    with torch.no_grad():
        return [(x, model(x).argmax(-1)) for x in inputs]


def test_torch_model_is_advised_on_as_its_network_and_trace_are(model, inputs):
    advice = archsim.advise(model, inputs, policies=["delta"])
    with archsim.attach(model, "none") as session, torch.no_grad():
        for x in inputs:
            model(x)
    # Inputs 0, 2 and 4 judge, and each is two sequences of the trace.
    judging = session.trace.only([0, 1, 4, 5, 8, 9])
    theta = advice.policies[0].trial.threshold
    alone = archsim.simulate(session.network, judging, policy="delta", threshold=theta).record
    record = advice.records()[1]
    assert record["output_change"] == pytest.approx(alone["output_change"], rel=1e-5)
    assert (record["cycles"], record["speedup"]) == (alone["cycles"], alone["speedup"])
    assert record["network"] == "Model" and record["trace"] == "inputs"


def test_rest_of_a_torch_model_is_named_and_its_rectifier_too(model, inputs):
    advice = archsim.advise(model, inputs, policies=["bnn", "delta"])
    assert "the rest of the model is not: Linear." in str(advice)
    assert "no input ever changes sign, so a binary predictor sees nothing" in str(advice)


def test_evaluation_of_model_and_input_gives_a_loss_with_interval(model, pairs):
    advice = archsim.advise(model, pairs, agreement, max_loss=5.0, policies=["delta"])
    record = advice.records()[1]
    theta = advice.policies[0].trial.threshold
    with archsim.attach(model, "delta", theta):
        loss = 100 - np.mean([float(agreement(model, pairs[i])) for i in halves_of(len(pairs)).judging])
    assert record["metric"] == "evaluate" and record["metric_loss"] == pytest.approx(loss)
    assert record["metric_loss_low"] <= loss + 1e-6 and loss - 1e-6 <= record["metric_loss_high"]
    assert "points of evaluate" in advice.verdict


def test_evaluation_of_the_model_alone_has_no_interval_and_says_so(model, pairs):
    def whole(model):
        return np.mean([float(agreement(model, pair)) for pair in pairs])

    advice = archsim.advise(model, pairs, whole, max_loss=5.0, policies=["delta"])
    assert "1 input, the one that θ was chosen on" in advice.verdict
    assert advice.records()[1]["metric_loss_low"] is None


def test_policy_that_quantises_is_measured_on_the_choosing_half(model, inputs):
    policy = "lowbit:bits=3,throttle=off,correct=on"
    with archsim.attach(model, "none") as session, torch.no_grad():
        for i in halves_of(len(inputs)).choosing:
            model(inputs[i])
    scales = archsim.measure_scales(session.network, session.trace)
    advice = archsim.advise(model, inputs, policies=[policy], max_change=0.3)
    theta = advice.policies[0].trial.threshold
    with archsim.attach(model, policy, theta, scales=scales) as session, torch.no_grad():
        for i in halves_of(len(inputs)).judging:
            model(inputs[i])
    assert advice.records()[1]["output_change"] == pytest.approx(session.record["output_change"])


@pytest.mark.parametrize(
    ("given", "evaluate", "message"),
    [
        ([], None, "inputs are empty"),
        (3, None, "inputs are a int: need a tensor, or a list"),
        ([torch.zeros(1, 3, 4)] * 2, lambda model, x: "good", "evaluate returned 'good': need one finite number"),
        ([torch.zeros(1, 3, 4)] * 2, lambda model, x: 1.0, r"none of its recurrent modules \(rnn\) has run"),
    ],
)
def test_inputs_and_evaluations_that_do_not_go_are_refused(model, given, evaluate, message):
    with pytest.raises(ArchsimError, match=message):
        archsim.advise(model, given, evaluate)


def test_model_without_recurrent_modules_is_refused():
    with pytest.raises(ArchsimError, match="no recurrent module"):
        archsim.advise(torch.nn.Linear(2, 2), [torch.zeros(1, 2)])


def test_object_that_is_no_model_is_refused():
    with pytest.raises(ArchsimError, match="need a torch.nn.Module"):
        archsim.advise(object(), [torch.zeros(1, 2)])


@pytest.fixture(scope="module")
def exported(model, inputs, tmp_path_factory):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of its own older exporter
        torch.onnx.export(model, (inputs[0],), str(path), input_names=["x"], output_names=["y"], dynamo=False)
    return archsim.OnnxModel(path)


def test_onnx_model_gets_the_advice_of_its_torch_model(exported, model, inputs):
    ours = archsim.advise(exported, [{"x": x.numpy()} for x in inputs], policies=["delta"])
    theirs = archsim.advise(model, inputs, policies=["delta"])
    assert ours.policies[0].trial.threshold == theirs.policies[0].trial.threshold
    assert ours.records()[1]["speedup"] == pytest.approx(theirs.records()[1]["speedup"], rel=1e-3)
    assert ours.subject.name == "model.onnx" and "the rest of the model is not:" in str(ours)


def test_evaluation_of_outputs_and_feeds_gives_a_loss(exported, pairs):
    expected = {x.numpy().tobytes(): y.numpy() for x, y in pairs}

    def score(outputs, feeds):
        hits = [out["y"].argmax(-1) == expected[f["x"].tobytes()] for out, f in zip(outputs, feeds, strict=True)]
        return 100 * np.mean(hits)

    feeds = [{"x": x.numpy()} for x, _ in pairs]
    advice = archsim.advise(exported, feeds, score, max_loss=5.0, policies=["delta"])
    assert "points of evaluate" in advice.verdict and advice.records()[1]["metric_loss"] <= 100


def test_calls_of_one_step_are_one_sequence_until_a_state_is_given(tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    from harness_onnx import saved
    from harness_onnx_exports import step_model

    model, feed = step_model(inputs=24, units=16)
    step = archsim.OnnxModel(saved(model, tmp_path))
    rng, feeds = np.random.default_rng(0), []
    for _ in range(4):
        x = rng.standard_normal((10, *feed["x"].shape)).astype(np.float32).cumsum(0) * np.float32(0.1)
        feeds += [feed | {"x": x[0]}, *({"x": row} for row in x[1:])]
    advice = archsim.advise(step, feeds, policies=["delta"])
    assert advice.subject.halves == ((1, 3), (0, 2)) and advice.plain_result.record["steps"] == 2 * 2 * 10


def test_feeds_and_evaluations_that_do_not_go_are_refused(exported):
    with pytest.raises(ArchsimError, match="need a list of feeds, each a dictionary"):
        archsim.advise(exported, 3)
    with pytest.raises(ArchsimError, match=r"need a function of \(outputs, feeds\)"):
        archsim.advise(exported, [{"x": np.zeros((2, 30, 4), np.float32)}], lambda outputs: 1.0)
    with pytest.raises(ArchsimError, match="no input 'z'"):
        archsim.advise(exported, [{"z": np.zeros((2, 30, 4), np.float32)}])
