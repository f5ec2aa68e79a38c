"""What a kernel decides, many steps in one call, is what the same policy decides asked step by step."""

import numpy as np
import pytest
from harness import make_network, make_tokens, make_trace, make_translator
from hypothesis import given, settings
from hypothesis import strategies as st

from archsim.functional import direction, runner
from archsim.functional.batch import Batch
from archsim.functional.run import run_functional
from archsim.policies import policy_from

POLICIES = ("none", "bnn", "bnn:throttle=off", "bnn:guard=3", "oracle", "ternary", "lowbit", "lowbit:bits=5,correct=on")


class Asked:
    """A policy that is asked at every step, as a plug-in is."""

    def __init__(self, policy):
        self.policy, self.name = policy, f"{policy.name}, asked"
        self.needs_threshold, self.uses_memo_unit = policy.needs_threshold, policy.uses_memo_unit
        self.needs_scales = getattr(policy, "needs_scales", False)

    def begin(self, context):
        return AskedPass(self.policy.begin(context))


class AskedPass:
    def __init__(self, running):
        self.running, self.correction = running, None

    def decide(self, step):
        reused = self.running.decide(step)
        self.correction = self.running.correction
        return reused


@settings(max_examples=60)
@given(
    policy=st.sampled_from(POLICIES),
    cell=st.sampled_from(["lstm", "gru"]),
    sizes=st.tuples(st.integers(1, 70), st.integers(1, 9), st.booleans()),
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    theta=st.sampled_from([0.0, 0.2, 0.7, 3.0]),
    precision=st.sampled_from(["fp16", "fp32"]),
)
def test_in_a_kernel_or_asked_step_by_step(policy, cell, sizes, lengths, theta, precision):
    inputs, units, bidirectional = sizes
    network = make_network(cell, inputs=inputs, units=units, layers=2, bidirectional=bidirectional)
    trace = make_trace(network, lengths)
    same_bytes(network, trace, policy, theta, precision)


@pytest.mark.parametrize("policy", POLICIES)
def test_in_a_decoder_too(policy):
    network = make_translator(width=9, units=5, depth=2)
    same_bytes(network, make_tokens(network, [4, 1, 7]), policy, 0.5, "fp16")


def same_bytes(network, trace, policy, theta, precision):
    """Outputs and decisions of a policy and of the same one asked step by step are the same bytes."""
    known = policy_from(policy)
    kernel, asked = (run_functional(network, trace, one, theta, precision=precision) for one in (known, Asked(known)))
    for a, b in zip(kernel.outputs, asked.outputs, strict=True):
        np.testing.assert_array_equal(a, b)
    for place, bits in kernel.activity.bits.items():
        for a, b in zip(bits, asked.activity.bits[place], strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("policy", ["none", "bnn", "delta"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_windows_and_chunks_are_not_seen(policy, bidirectional, monkeypatch):
    """However few steps go through a layer at a time."""
    network = make_network("lstm", inputs=6, units=5, layers=2, bidirectional=bidirectional)
    trace = make_trace(network, [7, 3, 11, 1])
    whole = run_functional(network, trace, policy_from(policy), 0.4)
    monkeypatch.setattr(runner, "MAX_ROWS", 2)
    monkeypatch.setattr(direction, "CHUNK_ROWS", 5)
    cut = run_functional(network, trace, policy_from(policy), 0.4)
    assert all((a == b).all() for a, b in zip(whole.outputs, cut.outputs, strict=True))
    assert whole.activity.bits.keys() == cut.activity.bits.keys()
    for place, bits in whole.activity.bits.items():
        assert all((a == b).all() for a, b in zip(bits, cut.activity.bits[place], strict=True))


@given(st.lists(st.integers(1, 12), min_size=1, max_size=6), st.integers(1, 13))
def test_windows_of_a_batch_are_its_rows_in_order(lengths, n_steps):
    lengths = np.sort(lengths)[::-1]
    batch = Batch.of(np.arange(lengths.size), lengths)
    found = []
    for window in batch.windows(n_steps):
        steps, positions = window.places()
        found += zip((steps + window.start).tolist(), window.sequences[positions].tolist(), strict=True)
        assert window.active.size <= n_steps
    steps, positions = batch.places()
    assert found == list(zip(steps.tolist(), positions.tolist(), strict=True))
    there = batch.backwards()
    assert (there[there] == np.arange(batch.n_rows)).all()
