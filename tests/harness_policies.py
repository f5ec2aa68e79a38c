"""Policies that keep the contract, and functions that make policies which break it in one way."""

import numpy as np

from archsim.config.components import Action, ActionEntry, ComponentTables, StaticEntry
from archsim.config.predictor import Predictor
from archsim.contract import check_policy


class Policy:
    """Policy that reuses all neurons of two steps in three; subclasses break one promise each."""

    name, needs_threshold, uses_memo_unit = "mine", False, True

    def begin(self, context):
        return self

    def decide(self, step):
        return np.full(step.shape, step.index % 3 > 0)


class Columns:
    """Column-skipping policy that skips what moved by at most θ."""

    name, needs_threshold, uses_memo_unit, by_columns = "mine", True, False, True

    def begin(self, context):
        self.threshold = context.threshold
        return self

    def represent(self, inputs):
        return inputs

    def decide(self, step):
        return (np.abs(step.values - step.propagated) <= self.threshold) & (step.index > 0)


class Tailed(Columns):
    """Column-skipping policy whose machine has a tail of `bits`; nothing goes through it here.

    every: after step 0, elements 0, every, 2·every, ... enter; 0 for those that moved by more than θ.
    """

    def __init__(self, bits=2, every=0):
        self.tail_bits, self.every = bits, every

    def decide(self, step):
        if not self.every:
            return super().decide(step)
        elements = np.arange(step.values.shape[1])
        return np.broadcast_to((elements % self.every > 0) & (step.index > 0), step.values.shape).copy()


TABLES = ComponentTables(
    actions={"adder": {"add": ActionEntry(pj=0.1, bucket="memo", source="test")}},
    static={"adder": StaticEntry(leakage_mw=0.01, area_mm2=0.01, source="test")},
)


class Adder(Predictor):
    """An adder and a comparison of its sum."""

    tables = TABLES

    def issue_cycles(self, fmu, n_inputs):
        return 1

    def actions(self, fmu, n_inputs):
        return [Action("adder", "add", 1)]

    def memo_entry_bytes(self, n_inputs):
        return 4

    def parts(self, fmu):
        return {"adder": 1}


class WithAdder(Policy):
    """Policy with hardware of its own."""

    predictor = Adder()


def failed(policy):
    """Return the words of the failed checks by name."""
    return {one.name: one.words for one in check_policy(policy) if one.passed is False}


def deciding(decide, base=Policy, **parts):
    """Return a policy that decides by a function of the step."""
    return type("Mine", (base,), {"decide": lambda self, step: decide(step), **parts})


def with_predictor(**methods):
    """Return a policy whose adder has other methods."""
    return type("Mine", (WithAdder,), {"predictor": type("Mine", (Adder,), methods)()})
