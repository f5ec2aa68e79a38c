"""θ of a torch model under its user's evaluation."""

import copy

import numpy as np
import pytest

import archsim
from archsim.errors import ConfigError
from archsim.live.torch_session import attach

torch = pytest.importorskip("torch")


class Tagger(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.front = torch.nn.Linear(6, 20)
        self.rnn = torch.nn.LSTM(20, 16, batch_first=True)
        self.cell = torch.nn.GRUCell(16, 8)

    def forward(self, x):
        h = None
        for row in self.rnn(self.front(x))[0].transpose(0, 1):
            h = self.cell(row, h)
        return h


@pytest.fixture
def model():
    torch.manual_seed(4)
    return Tagger()


INPUTS = torch.from_numpy(np.random.default_rng(2).normal(0, 0.5, (3, 12, 6)).cumsum(1).astype(np.float32))


def closeness(expected):
    """An evaluation in points: 100 for outputs without reuse."""

    def evaluate(model):
        assert not model.training
        with torch.no_grad():
            return 100 - 100 * (model(INPUTS) - expected).abs().max()

    return evaluate


@pytest.fixture
def evaluate(model):
    model.eval()
    with torch.no_grad(), attach(model, "none"):
        expected = model(INPUTS)
    return closeness(expected)


@pytest.mark.parametrize("policy", ["bnn", "delta", "lowbit:bits=4"])
def test_largest_threshold_within_a_loss_of_the_users_score_is_found(policy, model, evaluate):
    before = model(INPUTS)
    options = {"highest": 1.0, "resolution": 0.05, "progress": False}
    theta = archsim.calibrate(model, evaluate, policy=policy, max_loss=20.0, **options)
    assert theta.baseline == pytest.approx(100.0) and torch.equal(model(INPUTS), before)
    losses = theta.log.set_index("threshold")["loss"]
    assert losses[float(theta)] <= 20.0
    if not theta.reached_end:
        assert losses[round(theta + 0.05, 10)] > 20.0
    assert theta.log["reuse_fraction"].between(0, 1).all()
    with attach(model, policy, theta):  # with the scales that were measured, where the policy needs some
        assert evaluate(model) == theta.log.set_index("threshold").loc[float(theta), "score"]
    again = copy.copy(theta)
    assert (again.scales is None) == (theta.scales is None) == (policy != "lowbit:bits=4")


def test_threshold_of_one_module_by_change_of_its_outputs(model, evaluate):
    theta = archsim.calibrate(model, evaluate, policy="delta", layer="rnn", max_change=0.1, resolution=0.05)
    with torch.no_grad(), attach(model, "delta", theta, layer="rnn") as session:
        evaluate(model)
    assert session.record["output_change"] == theta.log.set_index("threshold").loc[float(theta), "output_change"] <= 0.1


def returning(value):
    """An evaluation that runs the model and returns something else than a score."""

    def evaluate(model):
        with torch.no_grad():
            model(INPUTS)
        return value

    return evaluate


@pytest.mark.parametrize("evaluate, options, message", [
    (returning(None), {}, "evaluate returned None: need one finite number, higher is better"),
    (returning(float("nan")), {}, "evaluate returned nan"),
    (lambda model: 1.0, {}, r"evaluate ran none of the attached modules \(rnn, cell\)"),
    (3.0, {}, "evaluate is a float: need a function of the model"),
    (lambda model: 1.0, {"margin": 1.0}, "the score of a model has no standard error"),
    (lambda model: 1.0, {"policy": "none"}, "has no threshold to calibrate"),
])  # fmt: skip
def test_evaluation_without_meaning_is_refused(evaluate, options, message, model):
    with pytest.raises(ConfigError, match=message):
        archsim.calibrate(model, evaluate, **options)
    assert "forward" not in vars(model.rnn)


def test_network_with_a_function_is_refused():
    with pytest.raises(ConfigError, match="a network is run on a trace, got a function"):
        archsim.calibrate("imdb-lstm", lambda model: 1.0)
    with pytest.raises(ConfigError, match="layer = 'rnn': names modules of a torch model"):
        archsim.calibrate("imdb-lstm", "imdb-lstm", layer="rnn")


def test_model_is_as_before_after_an_evaluation_that_fails(model):
    def evaluate(model):
        raise RuntimeError("no data")

    with pytest.raises(RuntimeError, match="no data"):
        archsim.calibrate(model, evaluate)
    assert "forward" not in vars(model.rnn)
