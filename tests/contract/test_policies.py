"""Contract of policies: what runs enforce. What every policy promises beyond is checked in test_check_policy.py."""

import numpy as np
import pytest
from harness import make_network

import archsim
from archsim.policies import BinaryPolicy, policy_from
from archsim.registry import Registry


@pytest.mark.parametrize("name", ["bnn", "oracle"])
def test_huge_threshold_reuses_every_later_step(name):
    """Nine ±1 terms never sum to zero, so every change of a binary output is finite."""
    network = make_network("lstm", inputs=5, units=4)
    trace = archsim.Trace.from_arrays([np.full((6, 5), 0.5, np.float32)])
    result = archsim.simulate(network, trace, policy=name, threshold=1e30)
    assert result.activity.reused(0, 0, 0)[1:].all()


def test_zero_threshold_reuses_unchanged_neurons():
    """SEMANTICS 1.4: θ = 0 is not `none`."""
    network = make_network("gru", inputs=3, units=4)
    trace = archsim.Trace.from_arrays([np.zeros((50, 3), np.float32)])
    assert archsim.simulate(network, trace, threshold=0.0).record["neurons_reused"] > 0


def test_larger_threshold_reuses_more(tiny_lstm, tiny_trace):
    shares = [archsim.simulate(tiny_lstm, tiny_trace, threshold=t).record["reuse_fraction"] for t in (0, 0.3, 1, 5)]
    assert shares == sorted(shares) and shares[0] < shares[-1]


def test_throttle_reduces_reuse_and_enters_the_digest(tiny_lstm, tiny_trace):
    throttled, free = (
        archsim.simulate(tiny_lstm, tiny_trace, policy=name, threshold=0.4) for name in ("bnn", "bnn:throttle=off")
    )
    assert throttled.record["neurons_reused"] < free.record["neurons_reused"]
    assert throttled.record["digest"] != free.record["digest"]


def test_threshold_arrays_equal_threshold_lists(tiny_lstm, tiny_trace):
    plain = archsim.simulate(tiny_lstm, tiny_trace, threshold=[0.5, 0.5])
    for theta in (np.array([0.5, 0.5]), np.array(0.5), np.full((2, 4), 0.5)):
        same = archsim.simulate(tiny_lstm, tiny_trace, threshold=theta)
        assert same.record["neurons_reused"] == plain.record["neurons_reused"]


def test_threshold_of_one_gate_affects_that_gate(tiny_lstm, tiny_trace):
    """Gate 2 of layer 0 has a large θ of its own; the others hardly reuse."""
    theta = [[0.0, 0.0, 9.0, 0.0], 0.0]
    result = archsim.simulate(tiny_lstm, tiny_trace, threshold=theta)
    by_gate = result.activity.reused(2, 0, 0).mean(axis=(0, 2))
    assert by_gate.argmax() == 2
    assert result.record["threshold"] == "[[0.0, 0.0, 9.0, 0.0], 0.0]"


@pytest.mark.parametrize(
    "theta", [-1.0, float("nan"), float("inf"), "0.3", True, [0.1], [0.1, [1.0, 2.0]], [0.1, -2.0], [["a"], 0.1]]
)
def test_invalid_thresholds_are_refused(theta, tiny_lstm, tiny_trace):
    with pytest.raises(archsim.ArchsimError, match="threshold"):
        archsim.simulate(tiny_lstm, tiny_trace, threshold=theta)


def test_registered_user_policy_runs_by_name(tiny_lstm, tiny_trace, registry):
    """The policy reuses everything at every second step."""

    class EveryOther:
        """Policy that reuses everything at odd steps."""

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


class BrokenPolicy:
    """Policy that breaks its contract in a given way."""

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
    (BrokenPolicy("narrow", lambda s: np.zeros((s.shape[0], 1, s.shape[2]), bool)), r"need bool of shape \(\d, 4, 4\)"),
    (BrokenPolicy("floats", lambda s: np.zeros(s.shape)), "decided float64 of shape"),
    (BrokenPolicy("nothing", lambda s: None), "decided None"),
    (BrokenPolicy("eager", lambda s: np.ones(s.shape, bool)), "reuses neurons at step 0"),
    (BrokenPolicy("secret", lambda s: np.full(s.shape, s.index > 0), uses_memo_unit=False), "says it needs no memoization unit"),
    (BinaryPolicy, "policy is the class BinaryPolicy: need a name"),
    (None, "policy = None has no name, needs_threshold, uses_memo_unit, begin"),
    (BrokenPolicy.named("idle", begin=lambda context: None), "began a pass with None"),
])  # fmt: skip
def test_policy_that_breaks_its_contract_is_refused(policy, message, tiny_lstm, tiny_trace):
    with pytest.raises(archsim.ArchsimError, match=message):
        archsim.simulate(tiny_lstm, tiny_trace, policy=policy, threshold=0.5)


@pytest.mark.parametrize("parts, message", [
    ({"name": "bnn", "needs_threshold": False, "uses_memo_unit": True, "begin": None}, "'bnn' is built in"),
    ({"needs_threshold": False}, "'P' has no name, uses_memo_unit, begin: a policy has"),
])  # fmt: skip
def test_incomplete_or_clashing_registration_is_refused(parts, message):
    with pytest.raises(archsim.ArchsimError, match=message):
        archsim.register_policy(type("P", (), parts))


def test_unknown_policy_suggests_the_nearest_name():
    with pytest.raises(archsim.ArchsimError, match="unknown policy 'bn', did you mean 'bnn'"):
        policy_from("bn")


def test_registry_of_an_unknown_plugin_group_holds_its_own_entries():
    registry = Registry("thing", "archsim.nothing-here")
    registry.bundle("a", 1)
    assert list(registry) == ["a"] and registry.get("a") == 1
