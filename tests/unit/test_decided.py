"""Passes in a kernel, many steps in one call, decide as the same policy asked step by step."""

from dataclasses import replace

import numpy as np
import pytest
from harness import make_network, make_tokens, make_trace, make_translator
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_info, threadpool_limits

import archsim
from archsim.cores import thread_pool
from archsim.inference import batch_runner, recurrent_pass
from archsim.inference.batching import Batch
from archsim.inference.measure import ranged
from archsim.inference.run import run_inference
from archsim.ir.cells import LSTM
from archsim.ir.layers import make_direction
from archsim.policies import BinaryPolicy, policy_from
from archsim.policies.kernel_pass import KernelPass

POLICIES = ("none", "bnn", "bnn:throttle=off", "bnn:guard=3", "oracle", "ternary", "lowbit", "lowbit:bits=5,correct=on")


class StepwisePolicy:
    """Policy that is asked at every step, as a plug-in is."""

    def __init__(self, policy):
        self.policy, self.name = policy, f"{policy.name}, asked"
        self.needs_threshold, self.uses_memo_unit = policy.needs_threshold, policy.uses_memo_unit
        self.needs_scales = getattr(policy, "needs_scales", False)

    def begin(self, context):
        return StepwisePass(self.policy.begin(context))


class StepwisePass:
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
    precision=st.sampled_from(["fp16", "fp32", "int8"]),
)
def test_kernel_pass_equals_the_policy_asked_step_by_step(policy, cell, sizes, lengths, theta, precision):
    inputs, units, bidirectional = sizes
    network = make_network(cell, inputs=inputs, units=units, layers=2, bidirectional=bidirectional)
    trace = make_trace(network, lengths)
    same_bytes(network, trace, policy, theta, precision)


@pytest.mark.parametrize("policy", POLICIES)
def test_decoder_kernel_pass_equals_the_policy_asked_step_by_step(policy):
    network = make_translator(width=9, units=5, depth=2)
    for precision in ("fp16", "int4"):
        same_bytes(network, make_tokens(network, [4, 1, 7]), policy, 0.5, precision)


def same_bytes(network, trace, policy, theta, precision):
    """Check that a policy gives the same outputs and decisions in a kernel and asked step by step."""
    known, network = policy_from(policy), ranged(network, trace, precision)
    kernel, stepwise = (
        run_inference(network, trace, one, theta, precision=precision) for one in (known, StepwisePolicy(known))
    )
    for a, b in zip(kernel.outputs, stepwise.outputs, strict=True):
        np.testing.assert_array_equal(a, b)
    for place, bits in kernel.activity.bits.items():
        for a, b in zip(bits, stepwise.activity.bits[place], strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("policy", ["none", "bnn", "delta"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_windows_and_chunks_leave_outputs_and_decisions_unchanged(policy, bidirectional, monkeypatch):
    """The number of steps that go through a layer at a time does not matter."""
    network = make_network("lstm", inputs=6, units=5, layers=2, bidirectional=bidirectional)
    trace = make_trace(network, [7, 3, 11, 1])
    whole = run_inference(network, trace, policy_from(policy), 0.4)
    monkeypatch.setattr(batch_runner, "WINDOW_STEPS", 2)
    monkeypatch.setattr(recurrent_pass, "CHUNK_ROWS", 5)
    cut = run_inference(network, trace, policy_from(policy), 0.4)
    assert all((a == b).all() for a, b in zip(whole.outputs, cut.outputs, strict=True))
    assert whole.activity.bits.keys() == cut.activity.bits.keys()
    for place, bits in whole.activity.bits.items():
        assert all((a == b).all() for a, b in zip(bits, cut.activity.bits[place], strict=True))


@given(st.lists(st.integers(1, 12), min_size=1, max_size=6), st.integers(1, 13))
def test_windows_of_a_batch_cover_its_rows_in_order(lengths, n_steps):
    lengths = np.sort(lengths)[::-1]
    batch = Batch.of(np.arange(lengths.size), lengths)
    result = []
    for window in batch.windows(n_steps):
        steps, positions = window.steps_and_positions()
        result += zip((steps + window.start).tolist(), window.sequences[positions].tolist(), strict=True)
        assert window.active.size <= n_steps
    steps, positions = batch.steps_and_positions()
    assert result == list(zip(steps.tolist(), positions.tolist(), strict=True))
    there = batch.backwards()
    assert (there[there] == np.arange(batch.n_rows)).all()


def reused_by(begin, base=BinaryPolicy, **fields):
    """Return the number of neurons reused by a plug-in derived from a built-in policy."""
    plug_in = type("PlugIn", (base,), {"name": "plug-in", "begin": begin, **fields})()
    network = make_network("lstm", inputs=6, units=5)
    return run_inference(network, make_trace(network, [9, 5]), plug_in, 0.8, threads=1).activity.neurons_reused()


def test_overridden_decide_is_called():
    """It is overridden in a subclass of the pass, or replaced on the pass object."""

    class Never(KernelPass):
        def decide(self, step):
            return np.zeros(step.shape, np.bool_)

    def replaced(self, context):
        running = BinaryPolicy.begin(self, context)
        running.decide = lambda step: np.zeros(step.shape, np.bool_)
        return running

    assert reused_by(BinaryPolicy.begin) > 0
    assert reused_by(lambda self, context: Never(BinaryPolicy.begin(self, context).decider)) == 0
    assert reused_by(replaced) == 0


@pytest.mark.parametrize("fields, message", [
    ({"batch": 1}, "plug-in' began a pass that does not fit: now has shape"),
    ({"thresholds": np.ones(2, np.float32)}, "thresholds has shape"),
    ({"weight_ih": np.ones((20, 3), np.float32)}, "n_inputs = 8, need 11"),
    ({"weight_ih": np.ones((20, 300), np.float32)}, "planes has shape"),
])  # fmt: skip
def test_pass_begun_for_another_shape_is_refused(fields, message):
    with pytest.raises(archsim.ArchsimError, match=message):
        reused_by(lambda self, context: BinaryPolicy.begin(self, replace(context, **fields)))


@pytest.mark.parametrize("fields, message", [
    ({"batch": 1}, "step 0 has 2 sequences, the pass began with 1"),
    ({"weight_ih": np.ones((20, 3), np.float32)}, "n_inputs = 8, need 11"),
])  # fmt: skip
def test_step_of_a_pass_begun_for_another_shape_is_refused(fields, message):
    class StepwisePlugIn(BinaryPolicy):
        name = "asking"

        def begin(self, context):
            return StepwisePass(super().begin(replace(context, **fields)))

    network = make_network("lstm", inputs=6, units=5)
    with pytest.raises(ValueError, match=message):
        run_inference(network, make_trace(network, [9, 5]), StepwisePlugIn(), 0.8, threads=1)


def test_reuse_by_a_policy_without_memo_unit_is_refused():
    with pytest.raises(archsim.ArchsimError, match="says it needs no memoization unit"):
        reused_by(BinaryPolicy.begin, uses_memo_unit=False)


def test_network_weights_are_read_only_copies():
    """Weights are laid out once per network; arrays that were given stay the caller's."""
    network = make_network("lstm", inputs=6, units=5)
    with pytest.raises(ValueError, match="read-only"):
        network.layers[0].directions[0].weight_ih[:] *= 3
    given = {
        name: np.ones((20, 6) if name == "weight_ih" else (20, 5), np.float32) for name in ("weight_ih", "weight_hh")
    }
    direction_of_ones = make_direction("here", LSTM, given)
    given["weight_ih"][:] = 2
    assert (direction_of_ones.weight_ih == 1).all()


def test_blas_threads_are_restored_after_the_last_overlapping_run():
    """Two runs overlap, and the first to begin is the first to end."""

    def threads():
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    with threadpool_limits(2, "blas"):
        one, two = thread_pool(2), thread_pool(1)
        before = threads()
        one.__enter__()
        two.__enter__()
        one.__exit__(None, None, None)
        assert set(threads()) == {1}
        two.__exit__(None, None, None)
        assert threads() == before
