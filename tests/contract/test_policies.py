"""What every policy must do, built in or plugged in."""

import numpy as np
import pytest
from harness import make_network

import archsim
from archsim.policies import POLICIES, BinaryPolicy, policy_from
from archsim.registry import Registry


@pytest.mark.parametrize("name", list(POLICIES))
def test_first_step_never_reuses(name, tiny_lstm, tiny_trace):
    result = archsim.simulate(tiny_lstm, tiny_trace, policy=name, threshold=1e9)
    for sequence in range(len(tiny_trace)):
        for layer in range(2):
            for direction in range(2):
                decided = result.activity.skipped if result.activity.kind == "columns" else result.activity.reused
                assert not decided(sequence, layer, direction)[0].any()


@pytest.mark.parametrize("name", ["bnn", "oracle"])
def test_boundless_patience_reuses_for_ever(name):
    """Nine ±1 terms never sum to zero, so every change of a binary output is finite."""
    network = make_network("lstm", inputs=5, units=4)
    trace = archsim.Trace.from_arrays([np.full((6, 5), 0.5, np.float32)])
    result = archsim.simulate(network, trace, policy=name, threshold=1e30)
    assert result.activity.reused(0, 0, 0)[1:].all()


def test_zero_threshold_still_reuses_what_did_not_change():
    """SEMANTICS 1.4: θ = 0 is not `none`."""
    network = make_network("gru", inputs=3, units=4)
    trace = archsim.Trace.from_arrays([np.zeros((50, 3), np.float32)])
    assert archsim.simulate(network, trace, threshold=0.0).record["neurons_reused"] > 0


def test_more_patience_is_more_reuse_on_the_same_inputs(tiny_lstm, tiny_trace):
    shares = [archsim.simulate(tiny_lstm, tiny_trace, threshold=t).record["reuse_fraction"] for t in (0, 0.3, 1, 5)]
    assert shares == sorted(shares) and shares[0] < shares[-1]


def test_throttling_holds_reuse_back(tiny_lstm, tiny_trace):
    throttled, free = (
        archsim.simulate(tiny_lstm, tiny_trace, policy=name, threshold=0.4) for name in ("bnn", "bnn:throttle=off")
    )
    assert throttled.record["neurons_reused"] < free.record["neurons_reused"]
    assert throttled.record["digest"] != free.record["digest"]


def test_threshold_may_be_an_array(tiny_lstm, tiny_trace):
    plain = archsim.simulate(tiny_lstm, tiny_trace, threshold=[0.5, 0.5])
    for theta in (np.array([0.5, 0.5]), np.array(0.5), np.full((2, 4), 0.5)):
        same = archsim.simulate(tiny_lstm, tiny_trace, threshold=theta)
        assert same.record["neurons_reused"] == plain.record["neurons_reused"]


def test_thresholds_per_layer_and_gate(tiny_lstm, tiny_trace):
    """A gate with θ of its own: gate 2 of layer 0 never changes its mind, the others hardly reuse."""
    theta = [[0.0, 0.0, 9.0, 0.0], 0.0]
    result = archsim.simulate(tiny_lstm, tiny_trace, threshold=theta)
    by_gate = result.activity.reused(2, 0, 0).mean(axis=(0, 2))
    assert by_gate.argmax() == 2
    assert result.record["threshold"] == "[[0.0, 0.0, 9.0, 0.0], 0.0]"


@pytest.mark.parametrize(
    "theta", [-1.0, float("nan"), float("inf"), "0.3", True, [0.1], [0.1, [1.0, 2.0]], [0.1, -2.0], [["a"], 0.1]]
)
def test_bad_thresholds_are_refused(theta, tiny_lstm, tiny_trace):
    with pytest.raises(archsim.ArchsimError, match="threshold"):
        archsim.simulate(tiny_lstm, tiny_trace, threshold=theta)


def test_a_user_adds_a_policy_without_touching_the_package(tiny_lstm, tiny_trace):
    """Every second step reuses everything."""

    class EveryOther:
        """Reuse on odd steps."""

        name, needs_threshold, uses_memo_unit = "every-other", False, True

        def begin(self, context):
            return self

        def decide(self, step):
            return np.full(step.shape, step.index % 2 == 1)

    archsim.register_policy(EveryOther)
    result = archsim.simulate(tiny_lstm, tiny_trace, policy="every-other")
    reused = result.activity.reused(2, 1, 0)
    assert reused[1::2].all() and not reused[::2].any()
    assert result.record["policy"] == "every-other" and result.record["threshold"] is None


class Wrong:
    """A policy that breaks its contract in a given way."""

    needs_threshold = False

    def __init__(self, name, answer, uses_memo_unit=True):
        self.name, self.answer, self.uses_memo_unit = name, answer, uses_memo_unit

    @classmethod
    def named(cls, name, begin):
        policy = cls(name, None)
        policy.begin = begin
        return policy

    def begin(self, context):
        return self

    def decide(self, step):
        return self.answer(step)


@pytest.mark.parametrize("policy, message", [
    (Wrong("narrow", lambda s: np.zeros((s.shape[0], 1, s.shape[2]), bool)), r"need bool of shape \(\d, 4, 4\)"),
    (Wrong("floats", lambda s: np.zeros(s.shape)), "decided float64 of shape"),
    (Wrong("nothing", lambda s: None), "decided None"),
    (Wrong("eager", lambda s: np.ones(s.shape, bool)), "reuses neurons at step 0"),
    (Wrong("secret", lambda s: np.full(s.shape, s.index > 0), uses_memo_unit=False), "says it needs no memoization unit"),
    (BinaryPolicy, "policy is the class BinaryPolicy: need a name"),
    (None, "policy = None has no name, needs_threshold, uses_memo_unit, begin"),
    (Wrong.named("idle", begin=lambda context: None), "began a pass with None"),
])  # fmt: skip
def test_a_policy_that_breaks_its_contract_is_refused(policy, message, tiny_lstm, tiny_trace):
    with pytest.raises(archsim.ArchsimError, match=message):
        archsim.simulate(tiny_lstm, tiny_trace, policy=policy, threshold=0.5)


@pytest.mark.parametrize("parts, message", [
    ({"name": "bnn", "needs_threshold": False, "uses_memo_unit": True, "begin": None}, "'bnn' is built in"),
    ({"needs_threshold": False}, "'P' has no name, uses_memo_unit, begin: a policy has"),
])  # fmt: skip
def test_incomplete_and_clashing_registrations_are_refused(parts, message):
    with pytest.raises(archsim.ArchsimError, match=message):
        archsim.register_policy(type("P", (), parts))


def test_unknown_policy_names_the_nearest():
    with pytest.raises(archsim.ArchsimError, match="unknown policy 'bn', did you mean 'bnn'"):
        policy_from("bn")


def test_registry_loads_advertised_plugins_last():
    """A built-in name is not taken over by a plug-in; an unknown group simply has none."""
    registry = Registry("thing", "archsim.nothing-here")
    registry.add("a", 1)
    assert list(registry) == ["a"] and registry.get("a") == 1
