"""Output change (SEMANTICS 1.5): the relative distance of outputs with reuse from those without."""

import numpy as np
import pytest
from harness import make_network, make_tokens, make_trace, make_translator
from hypothesis import given, settings
from hypothesis import strategies as st

import archsim
from archsim.inference import comparison
from archsim.inference.policy_parameters import thresholds_for
from archsim.inference.run import run_compared, run_workload
from archsim.inference.workload import Workload
from archsim.kernels.numerics.squares import add_squares
from archsim.policies import NoReuse, policy_from


def compared(workload, policy, theta, **options):
    """Run a workload under a named policy and without reuse."""
    policy = policy_from(policy)
    return run_compared(workload, policy, thresholds_for(workload.network, policy, theta), **options)


def change_of_outputs(plain, changed):
    """Return the output change by its definition, on whole outputs in float64."""
    before, after = (np.concatenate(outputs).astype(np.float64) for outputs in (plain, changed))
    return np.sqrt(((after - before) ** 2).sum() / (before**2).sum())


@settings(max_examples=25)
@given(
    st.sampled_from(["lstm", "gru"]),
    st.booleans(),
    st.lists(st.integers(1, 9), min_size=1, max_size=6),
    st.sampled_from(["bnn", "oracle", "delta", "ternary", "lowbit:correct=on"]),
    st.floats(0, 2),
    st.sampled_from(["fp16", "fp32"]),
)
def test_output_change_of_the_record_equals_its_definition(cell, bidirectional, lengths, policy, theta, precision):
    network = make_network(cell, inputs=5, units=4, layers=2, bidirectional=bidirectional)
    trace = make_trace(network, lengths)
    plain, changed = (
        archsim.simulate(network, trace, policy=name, threshold=theta, precision=precision) for name in ("none", policy)
    )
    assert plain.record["output_change"] == 0
    expected = change_of_outputs(plain.outputs, changed.outputs)
    assert changed.record["output_change"] == pytest.approx(expected, rel=1e-12, abs=0)


def test_random_network_on_noise_changes_outputs_by_60_percent():
    """There is no head and no metric, and yet large gains: 0.91 reused, 1.7x, 66 % saved."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    network, rng = archsim.from_torch(torch.nn.LSTM(32, 16)), np.random.default_rng(0)
    trace = archsim.Trace.from_arrays([np.abs(rng.standard_normal((200, 32))) for _ in range(4)])
    record = archsim.simulate(network, trace, policy="bnn", threshold=0.0).record
    assert record["reuse_fraction"] == pytest.approx(0.913, abs=0.005)
    assert record["output_change"] == pytest.approx(0.597, abs=0.005)


def test_output_change_depends_on_neither_batches_nor_threads(tiny_lstm, monkeypatch):
    trace = make_trace(tiny_lstm, (9, 30, 2, 17, 30, 1))

    def change(threads):
        return compared(Workload(tiny_lstm, trace), "bnn", 0.5, threads=threads).output_change

    one = change(1)
    monkeypatch.setattr("archsim.inference.batching.MAX_BATCH", 2)
    assert change(1) == change(3) == one


def test_output_change_does_not_depend_on_windows(monkeypatch):
    """A long sequence goes through all layers one window at a time."""
    network = make_network("gru", inputs=5, units=4, layers=2)
    trace = make_trace(network, (40, 23))
    whole = compared(Workload(network, trace), "bnn", 0.5)
    monkeypatch.setattr("archsim.inference.batch_runner.WINDOW_STEPS", 7)
    cut = compared(Workload(network, trace), "bnn", 0.5)
    assert cut.output_change == whole.output_change > 0


def test_compared_runs_equal_separate_runs(tiny_lstm, tiny_trace):
    workload = Workload(tiny_lstm, tiny_trace, cache_bytes=1 << 20, once=True)
    together = compared(workload, "bnn", 0.5)
    alone = run_workload(Workload(tiny_lstm, tiny_trace), policy_from("bnn"), 0.5)
    for one, other in zip(together.outputs, alone.outputs, strict=True):
        assert one.tobytes() == other.tobytes()
    assert together.activity.neurons_reused() == alone.activity.neurons_reused() > 0
    assert together.without_reuse.activity.neurons_reused() == 0


def test_cached_workload_computes_the_run_without_reuse_once(tiny_lstm, tiny_trace, monkeypatch):
    workload, begun = Workload(tiny_lstm, tiny_trace, cache_bytes=1 << 20), []
    real = NoReuse.begin
    monkeypatch.setattr(NoReuse, "begin", lambda self, context: begun.append(context.pass_key) or real(self, context))
    first = [compared(workload, name, 0.5, threads=1).output_change for name in ("bnn", "oracle")]
    assert sorted(begun) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    again = [compared(Workload(tiny_lstm, tiny_trace), n, 0.5).output_change for n in ("bnn", "oracle")]
    assert again == first


def test_output_change_is_the_same_with_any_cache_size(tiny_lstm, tiny_trace):
    changes = {
        compared(Workload(tiny_lstm, tiny_trace, cache_bytes=room, once=once), "bnn", 0.5).output_change
        for room in (0, 100, 1 << 20)
        for once in (False, True)
    }
    assert len(changes) == 1


def test_translations_of_different_length_have_no_output_change():
    network = make_translator(width=6, units=5, seed=7)
    trace, seen = make_tokens(network, (4, 7, 3)), set()
    for theta in (0.0, 0.3, 5.0):
        plain, changed = (archsim.simulate(network, trace, policy=p, threshold=theta) for p in ("none", "bnn"))
        result = changed.record["output_change"]
        seen.add(result is None)
        if [len(top) for top in plain.outputs] == [len(top) for top in changed.outputs]:
            assert result == pytest.approx(change_of_outputs(plain.outputs, changed.outputs), rel=1e-12)
        else:
            assert result is None
    assert seen == {True, False}


def test_cached_decoder_run_gives_the_same_output_change():
    network = make_translator(width=6, units=5)
    workload = Workload(network, make_tokens(network, (4, 7, 3)), cache_bytes=1 << 20)
    results = [compared(workload, "bnn", 0.3) for _ in range(2)]
    assert results[0].output_change == results[1].output_change
    steps = [[r.without_reuse.activity.steps(s) for s in r.activity.shapes] for r in results]
    assert steps[0] == steps[1]


@pytest.mark.parametrize("squares, expected", [
    ([[0.0, 0.0]], 0.0), ([[1.0, 0.0]], None), ([[1.0, 4.0]], 0.5), ([[np.nan, np.nan], [1.0, 4.0]], None),
])  # fmt: skip
def test_output_change_is_the_root_of_the_ratio_of_sums(squares, expected):
    assert comparison.output_change(np.array(squares)) == expected


def test_squares_are_summed_per_sequence():
    before = np.arange(12, dtype=np.float32).reshape(6, 2)
    after = before + np.float32(0.5)
    sums = np.zeros((3, 2))
    add_squares(before, after, np.array([3, 2, 1]), sums)
    rows = [(0, 3, 5), (1, 4), (2,)]
    expected = [[0.25 * 2 * len(own), (before[list(own)].astype(float) ** 2).sum()] for own in rows]
    np.testing.assert_array_equal(sums, expected)


@pytest.mark.parametrize("active", [[3, 2], [4, 2]])
def test_squares_of_other_shapes_are_refused(active):
    rows = np.zeros((6, 2), np.float32)
    with pytest.raises(ValueError, match="6 rows, 3 sums"):
        add_squares(rows, rows, np.array(active), np.zeros((3, 2)))
