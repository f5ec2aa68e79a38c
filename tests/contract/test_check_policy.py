"""The contract suite: bundled policies pass it, and each broken promise fails the check that stands for it."""

import re

import numpy as np
import pytest
from harness_policies import Columns, Policy, WithAdder, deciding, failed

from archsim.contract import check_policy
from archsim.contract.suite import CHECKS
from archsim.policies import POLICIES, policy_from

OPTIONS = ("bnn:throttle=off", "ternary:guard=4", "lowbit:bits=3,correct=on", "lowbit:bits=8,throttle=off")


@pytest.mark.parametrize("name", [*(name for name in POLICIES if POLICIES.get(name).__module__.startswith("archsim.")), *OPTIONS])  # fmt: skip
def test_bundled_policy_passes_every_check(name):
    results = check_policy(policy_from(name))
    assert [(one.name, one.words) for one in results if not one.passed] == []
    assert len(results) == 1 + len(CHECKS)


@pytest.mark.parametrize("policy", [Policy, Columns, WithAdder])
def test_policy_that_keeps_its_promises_fails_no_check(policy):
    assert failed(policy) == {}


# Parts


class Needy(Policy):
    def __init__(self, period):
        self.period = period


@pytest.mark.parametrize("policy, words", [
    (type("P", (), {"name": "p", "needs_threshold": False}), "has no uses_memo_unit, begin"),
    (Needy, "missing 1 required positional argument: 'period'"),
    (type("P", (Policy,), {"needs_threshold": 1}), "needs_threshold = 1: need a bool"),
    (type("P", (Policy,), {"machine": "toaster"}), "unknown machine 'toaster'"),
    (type("P", (Policy,), {"machine": "delta"}), "decides about neurons, but its machine delta takes columns"),
    (type("P", (Columns,), {"uses_memo_unit": True}), "has by_columns and uses_memo_unit"),
])  # fmt: skip
def test_class_without_the_parts_of_a_policy_is_not_checked_further(policy, words):
    results = check_policy(policy)
    assert results[0].name == "parts" and results[0].passed is False and words in results[0].words
    assert {one.passed for one in results[1:]} == {None}


# Form of decisions, and what they may write


def writing(name):
    def decide(step):
        getattr(step, name)[:] = 1
        return np.full(step.shape, step.index % 3 > 0)

    return deciding(decide)


class WritesWeights(Policy):
    def begin(self, context):
        context.thresholds[:] += 1
        return self


@pytest.mark.parametrize("policy, check, words", [
    (deciding(lambda s: np.zeros(s.shape)), "decision", "step 0: decided float64 of shape (4, 4, 10), need bool of shape (4, 4, 10)"),
    (deciding(lambda s: np.zeros((4, 4, 10), bool)), "decision", "step 1: decided bool of shape (4, 4, 10), need bool of shape (3, 4, 10)"),
    (deciding(lambda s: None), "decision", "decided None"),
    (deciding(lambda s: np.full(s.shape, s.index > 0), uses_memo_unit=False), "decision", "declares uses_memo_unit = False"),
    (type("P", (Policy,), {"begin": lambda self, context: None}), "decision", "begin returned None, which has no decide"),
    (type("P", (Columns,), {"represent": lambda self, v: v.astype(float)}), "decision", "represent returned float64"),
    (type("P", (Columns,), {"decide": None}), "decision", "which has no decide"),
    (deciding(lambda s: np.ones(s.shape, bool)), "first step", "decides True for 160 at step 0, where every memo is empty"),
    (deciding(lambda s: np.ones(s.values.shape, bool), Columns), "first step", "where every sum is empty"),
    (deciding(lambda s: 1 / (s.index - 2)), "decision", "ZeroDivisionError: division by zero"),
])  # fmt: skip
def test_decision_of_another_form_fails_and_the_rest_is_not_checked(policy, check, words):
    results = {one.name: one for one in check_policy(policy)}
    assert results[check].passed is False and words in results[check].words
    assert {one.passed for name, one in results.items() if name not in ("parts", "decision", "first step")} == {None}


def test_exception_in_a_policy_is_shown_with_its_file_and_line():
    class Raises(Policy):
        def decide(self, step):
            return np.stack([step.x, step.h])

    line = Raises.decide.__code__.co_firstlineno + 1
    assert f"test_check_policy.py, line {line}, in decide: ValueError" in failed(Raises)["decision"]


@pytest.mark.parametrize("policy, words", [
    *((writing(name), f"writes to step.{name} (step 0): copy it first") for name in ("x", "h", "products", "memo_products")),
    (WritesWeights, "writes to context.thresholds (begin of pass (0, 0))"),
    (type("P", (Columns,), {"represent": lambda self, v: np.negative(v, out=v)}), "represent writes to its inputs"),
])  # fmt: skip
def test_writing_to_a_given_array_fails_the_check_of_inputs(policy, words):
    assert words in failed(policy)["inputs"]


# What decisions may not depend on


class Counting(Policy):
    """State in the policy itself, kept from run to run."""

    def __init__(self):
        self.calls = 0

    def decide(self, step):
        self.calls += 1
        return np.full(step.shape, step.index > 0 and self.calls % 7 > 2)


class Resetting(Counting):
    """State in the policy itself, which each pass resets."""

    def begin(self, context):
        self.calls = 0
        return self


@pytest.mark.parametrize("policy, check, words", [
    (Counting, "repeatable", "a second run decides differently: sequence "),
    (deciding(lambda s: np.full(s.shape, s.index > 0 and len(s.x) > 1)), "batch", "a sequence alone than in a batch: sequence 0, layer 0"),
    (Resetting, "passes", "a pass depends on other passes of the policy"),
    # The array behind the inputs of a step has all steps of the window.
    (deciding(lambda s: np.full(s.shape, s.index > 0 and s.x.base is not None and s.x.base[-1, 0] > s.x[0, 0])), "later steps",
     "decides differently if the sequences end after"),
])  # fmt: skip
def test_decision_that_depends_on_more_than_its_sequence_fails(policy, check, words):
    assert words in failed(policy)[check]


class Inverted(Policy):
    needs_threshold = True

    def begin(self, context):
        return deciding(lambda step: (np.abs(step.memo) >= context.thresholds.min()) & (step.index > 0))()


def test_threshold_that_saves_less_when_larger_fails():
    assert re.search(r"θ = [\d.e-]+ avoids .*% of the work, θ = .* avoids", failed(Inverted)["threshold"])


def test_threshold_without_effect_is_remarked():
    results = {
        one.name: one for one in check_policy(deciding(lambda s: np.full(s.shape, s.index > 0), needs_threshold=True))
    }
    assert results["threshold"].passed and results["threshold"].words == "θ changes nothing"


# Workers


def test_policy_that_cannot_be_pickled_fails():
    class Local(Policy):
        pass

    assert "cannot be pickled" in failed(Local)["workers"]


class Renamed(Policy):
    """A policy whose name does not say its option."""

    name = "renamed"

    def __init__(self, *, period: int = 3):
        self.period = period

    def decide(self, step):
        return np.full(step.shape, step.index % self.period > 0)


def test_registered_policy_whose_name_lacks_an_option_fails(registry):
    registry.register(Renamed, "test")
    assert failed(Renamed()) == {} and failed(policy_from("renamed:period=5")) == {}
    assert "the policy made from its name decides differently" in failed(Renamed(period=5))["workers"]


def test_unregistered_policy_is_remarked():
    results = {one.name: one for one in check_policy(Policy())}
    assert results["workers"].passed and "archsim.register_policy" in results["workers"].words


def test_checks_run_at_the_threshold_given():
    """A column policy with an unusual unit of θ."""
    watched = []

    class Watching(Columns):
        def begin(self, context):
            watched.append(context.threshold)
            return super().begin(context)

    check_policy(Watching(), 0.125)
    assert {0.125, 1.0, 1e6} <= set(watched)
