"""The contract suite on hardware: it has to be declared, charged, and the same at both levels of detail."""

import itertools

import numpy as np
import pytest
from harness_policies import Policy, failed, with_predictor

from archsim.config.components import ActionEntry, ComponentTables, StaticEntry
from archsim.config.predictor import BitPlanePredictor
from archsim.contract import check_policy


def test_details_that_differ_fail():
    calls = itertools.count(1)
    found = failed(with_predictor(issue_cycles=lambda self, fmu, n: next(calls)))
    assert "in detail block" in found["details"]


FREE = ComponentTables(
    actions={"adder": {"add": ActionEntry(pj=0, bucket="memo", source="test")}},
    static={"adder": StaticEntry(leakage_mw=0, area_mm2=0, source="test")},
)


@pytest.mark.parametrize("methods, check, words", [
    ({"parts": lambda self, fmu: {}}, "area", "declares no parts"),
    ({"tables": FREE}, "area", "adder takes no area"),
    ({"actions": lambda self, fmu, n: []}, "energy", "declares no actions"),
    ({"tables": FREE}, "energy", "adder.add costs no energy"),
    ({"memo_entry_bytes": lambda self, n: 1}, "memo", "declares 1 bytes of a memo entry, need 2 for the product"),
    ({"tables": ComponentTables()}, "details", "no energy entry for adder"),
])  # fmt: skip
def test_hardware_that_is_free_fails(methods, check, words):
    assert words in failed(with_predictor(**methods))[check]


def test_correction_without_a_corrector_fails():
    class Corrects(Policy):
        predictor = BitPlanePredictor()

        def begin(self, context):
            return Correcting()

    class Correcting(Policy):
        def decide(self, step):
            self.correction = np.full(step.shape, 0.01, np.float32)
            return super().decide(step)

    assert "corrects = False, so that it is free" in failed(Corrects)["memo"]


def test_missing_entry_is_reported_once():
    results = {one.name: one for one in check_policy(with_predictor(tables=ComponentTables()))}
    assert [results[name].passed for name in ("details", "area", "energy", "memo")] == [False, None, None, None]
    assert results["area"].words == "not checked, because 'details' failed"
