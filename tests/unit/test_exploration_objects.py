"""Exploration of objects: networks and traces in memory, a loss of the user's, torch models, bounds on the change."""

import numpy as np
import pytest
from harness import make_network, make_trace, run_sweeps_in_process

import archsim
from archsim.errors import ConfigError
from archsim.exploration import search
from archsim.exploration.page import write_exploration
from archsim.exploration.search import explore
from archsim.sweeps import run as sweeps

POLICIES = ["bnn", "delta", "lowbit:bits=2"]


@pytest.fixture
def in_process(monkeypatch):
    """Run explorations without worker processes."""
    run_sweeps_in_process(monkeypatch, search, sweeps)


@pytest.fixture
def pair():
    network = make_network("lstm", inputs=24, units=12)
    return network, make_trace(network, (12, 9))


def test_objects_are_explored_by_the_change_of_their_outputs(pair, tmp_path, in_process):
    network, trace = pair
    found = explore(network, tmp_path, trace=trace, max_change=0.3, policies=POLICIES, widths=[256], refine=1)
    points = found.points
    assert set(points["policy"]) == {"none", "bnn", "delta", "lowbit:bits=2"}
    assert (points["fits"] == (points["output_change"] <= 0.3)).all() and points["fits"].sum() > 1
    assert "30.0% of output change" in found.recommendation or "changes the outputs by" in found.recommendation
    assert not points["unsure"].any()
    row = points[(points["policy"] == "delta") & points["fits"]].iloc[0]
    alone = archsim.simulate(network, trace, policy="delta", threshold=row["threshold"]).record
    assert alone["output_change"] == row["output_change"] and alone["speedup"] == row["speedup"]
    page = write_exploration(found, tmp_path).read_text("utf-8")
    assert "of output change" in page
    again = explore(network, tmp_path, trace=trace, max_change=0.3, policies=POLICIES, widths=[256], refine=1)
    assert again.points[["policy", "threshold"]].equals(points[["policy", "threshold"]])


def test_loss_function_stands_for_the_metric(pair, tmp_path, in_process):
    network, trace = pair
    plain = archsim.simulate(network, trace, policy="none").outputs

    def loss(outputs):
        return 100 * max(np.abs(a - b).max() for a, b in zip(outputs, plain, strict=True)) + 7

    found = explore(network, tmp_path, trace=trace, loss=loss, max_loss=5.0, policies=["delta"], widths=[256], refine=1)
    points = found.points.set_index("policy")
    assert points.loc["none", "metric_loss"] == 0.0
    row = found.points[(found.points["policy"] == "delta") & found.points["fits"]].iloc[0]
    outputs = archsim.simulate(network, trace, policy="delta", threshold=row["threshold"]).outputs
    assert row["metric_loss"] == pytest.approx(loss(outputs) - 7) and row["metric_loss"] <= 5.0
    write_exploration(found, tmp_path)


def test_torch_model_is_explored_under_its_own_loss(tmp_path, in_process):
    torch = pytest.importorskip("torch")
    torch.manual_seed(1)
    model = torch.nn.ModuleDict({"front": torch.nn.Linear(4, 24), "rnn": torch.nn.GRU(24, 12)}).eval()
    x = torch.from_numpy(np.random.default_rng(1).normal(0, 0.3, (15, 2, 4)).cumsum(0).astype(np.float32))

    def outputs(model):
        with torch.no_grad():
            return model["rnn"](model["front"](x))[0]

    expected = outputs(model)
    found = explore(
        model,
        tmp_path,
        loss=lambda model: 100 * (outputs(model) - expected).abs().max(),
        max_loss=10.0,
        policies=["delta"],
        widths=[256],
        refine=1,
    )
    rows = found.points[found.points["policy"] == "delta"]
    assert found.points["sequences"].eq(2).all() and found.points["steps"].eq(30).all()
    assert rows["fits"].any() and rows["metric_loss"].nunique() > 1 and torch.equal(outputs(model), expected)


@pytest.mark.parametrize("options, message", [
    ({"trace": None}, "a network given as an object, or with a loss, needs a trace"),
    ({"max_loss": 1.0, "max_change": 0.1}, "max_loss = 1.0 and max_change = 0.1: need one of them"),
    ({"max_change": -0.1}, "max_change = -0.1: need a finite number >= 0"),
    ({"max_change": 0.1, "margin": 1.0}, "only the loss of a task metric has a standard error"),
    ({"loss": 3}, "loss is a int: need a function"),
    ({"loss": lambda outputs: None}, "loss returned None: need one finite number, lower is better"),
    ({"limit": 1}, r"limit = 1: need a trace that is cut already"),
    ({}, "names no metric"),
])  # fmt: skip
def test_objects_that_cannot_be_explored_are_refused(options, message, pair, tmp_path, in_process):
    arguments = {"trace": pair[1], "policies": ["delta"], "widths": [256]} | options
    with pytest.raises(ConfigError, match=message):
        explore(pair[0], tmp_path, **arguments)


def test_torch_model_without_a_loss_is_refused(tmp_path):
    torch = pytest.importorskip("torch")
    with pytest.raises(ConfigError, match="a torch model needs a loss, and no trace"):
        explore(torch.nn.LSTM(3, 4), tmp_path)


@pytest.mark.parametrize("bound", [{"max_loss": 10.0}, {"max_change": 0.2}])
def test_onnx_model_is_explored_on_its_feeds(bound, tmp_path, in_process):
    pytest.importorskip("onnxruntime")
    from harness_onnx import NodeSpec, build, plain_model, saved

    graph, feeds = build(plain_model(NodeSpec(units=6), steps=8))
    model = archsim.OnnxModel(saved(graph, tmp_path))
    plain = model.run([feeds], "none").outputs

    def loss(outputs):
        return max(100 * float(np.abs(outputs[0][name] - plain[0][name]).max()) for name in plain[0])

    losses = {"loss": loss} if "max_loss" in bound else {}
    options = {"policies": ["delta"], "widths": [256], "refine": 1}
    points = explore(model, tmp_path / "out", trace=[feeds], **bound, **losses, **options).points
    row = points[(points["policy"] == "delta") & points["fits"]].iloc[0]
    run = model.run([feeds], "delta", row["threshold"])
    if losses:
        assert row["metric_loss"] == pytest.approx(loss(run.outputs)) and row["metric_loss"] <= 10.0
    else:
        assert row["output_change"] == run.session.record["output_change"] <= 0.2


def test_onnx_model_without_feeds_or_with_several_parts_is_refused(tmp_path):
    pytest.importorskip("onnxruntime")
    from harness_onnx import NodeSpec, build, plain_model, saved

    graph, feeds = build(plain_model(NodeSpec(), NodeSpec(op="GRU"), between=("tanh",)))
    model = archsim.OnnxModel(saved(graph, tmp_path))
    with pytest.raises(ConfigError, match="an ONNX model needs trace = its feeds"):
        explore(model, tmp_path / "out", max_change=0.1)
    with pytest.raises(ConfigError, match=r"several recurrent parts \(rnn0, rnn1\)"):
        explore(model, tmp_path / "out", trace=[feeds], max_change=0.1)
    assert not (tmp_path / "out").exists()
