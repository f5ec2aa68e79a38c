"""Amount of work of a run, counted: events, kernel calls, rows of products. scripts/bench.py measures seconds.

`pytest tests/bench --benchmark-enable --benchmark-json FILE` also keeps times, and the counts beside them.
"""

import tracemalloc

import numpy as np
import pytest
from harness import InProcessPool, arch_with, make_network, make_trace, write_classifier, write_lstm_files

import archsim
from archsim.inference import batch_runner, batching, recurrent_pass, weights
from archsim.inference.recurrent_pass import RecurrentPass
from archsim.inference.run import run_inference
from archsim.policies import NoReuse, policy_from
from archsim.sim.accelerator import simulate_activity
from archsim.sweeps import run as sweep
from archsim.sweeps.grid import load_grid
from archsim.sweeps.plan import plan_points

EPUR = arch_with()
EVENTS_A_SEQUENCE = 25
"""Events of two passes in detail `block`, with the inputs and outputs of the sequence."""
BNN, THETA = policy_from("bnn"), 0.5


@pytest.fixture
def count(benchmark, monkeypatch):
    """Return a wrapper for functions of a module that counts their calls by name, in the benchmark's record."""
    counts = benchmark.extra_info

    def wrap(owner, name, of=lambda *arguments, **options: 1):
        real = getattr(owner, name)

        def counted(*arguments, **options):
            counts[name] += of(*arguments, **options)
            return real(*arguments, **options)

        counts[name] = 0
        monkeypatch.setattr(owner, name, counted)

    wrap.counts = counts
    return wrap


def once(benchmark, work, *arguments, **options):
    """Run `work` once, timed by the benchmark."""
    return benchmark.pedantic(work, arguments, options, rounds=1)


def layer(lengths=(9, 9, 9), **shape):
    """Return a BiLSTM layer and a trace for it."""
    network = make_network("lstm", inputs=20, units=16, bidirectional=True, **shape)
    return network, make_trace(network, lengths)


@pytest.mark.parametrize("arch", [EPUR, EPUR.without_memo()])
def test_block_detail_takes_the_same_events_for_any_length(arch, benchmark):
    network, _ = layer()
    short, long, more = (
        run_inference(network, make_trace(network, lengths), NoReuse()).activity
        for lengths in ((400, 400), (4000, 4000), (400, 400, 400, 400))
    )
    events = [simulate_activity(network, record, arch).events for record in (short, more)]
    assert once(benchmark, simulate_activity, network, long, arch).events == events[0]
    assert events[1] - events[0] <= 2 * EVENTS_A_SEQUENCE


def test_neuron_detail_takes_at_most_three_events_per_neuron(benchmark):
    """A neuron takes two or three events with memoization, one or two without, because only a wait takes one."""
    network, trace = layer((20,))
    record = run_inference(network, trace, BNN, THETA).activity
    plain = run_inference(network, trace, NoReuse()).activity
    with_memo = once(benchmark, simulate_activity, network, record, EPUR, detail="neuron").events
    without = simulate_activity(network, plain, EPUR.without_memo(), detail="neuron").events
    benchmark.extra_info["events a neuron"] = with_memo / record.neurons_total
    assert 0 < record.avoided_fraction < 1
    assert with_memo <= 3 * record.neurons_total and without <= 2 * plain.neurons_total


@pytest.mark.parametrize("policy", ["none", "bnn", "ternary", "lowbit:correct=on", "oracle"])
def test_all_steps_of_a_pass_take_one_kernel_call(policy, benchmark, count):
    network, trace = layer((50, 50, 30))
    count(recurrent_pass, "run_steps")
    count(recurrent_pass, "accumulate")
    once(benchmark, run_inference, network, trace, policy_from(policy), THETA, threads=1)
    assert count.counts == {"run_steps": 2, "accumulate": 2}  # one of each for a direction


def test_long_sequence_is_computed_in_chunks(benchmark, count, monkeypatch):
    monkeypatch.setattr(recurrent_pass, "CHUNK_ROWS", 100)
    network, trace = layer((1000,))
    count(recurrent_pass, "run_steps")
    once(benchmark, run_inference, network, trace, BNN, THETA)
    assert count.counts == {"run_steps": 2 * 10}


def test_thresholds_of_a_sweep_share_input_products_and_weights(benchmark, count, tmp_path):
    """Eight thresholds compute as many input products as one, also where precisions alternate in the grid."""
    own = write_lstm_files(tmp_path, [9, 7, 4])
    axes = {"threshold": [0.1 * n for n in range(8)], "precision": ["fp16", "fp32"]}
    count(RecurrentPass, "input_products", of=lambda running, inputs: len(inputs))
    count(weights, "store_weights")
    swept(benchmark, {"axes": axes, "fixed": fixed(own / "net", own / "trace.npz")}, tmp_path)
    assert count.counts == {"input_products": 2 * (9 + 7 + 4), "store_weights": 2}


def test_policy_and_baseline_share_input_products(benchmark, count, tmp_path):
    own = write_classifier(tmp_path / "own", [9, 7, 4])
    count(RecurrentPass, "input_products", of=lambda running, inputs: len(inputs))
    result = once(benchmark, archsim.simulate, own["network"], own["trace"], threshold=THETA)
    assert result.record["metric_baseline"] == 100
    assert count.counts == {"input_products": 9 + 7 + 4}


def test_machines_of_a_sweep_share_decisions(benchmark, count, tmp_path, computed_policies):
    """A point of another machine computes nothing of the network: one run with reuse, one without."""
    own = write_lstm_files(tmp_path, [9, 7, 4])
    axes = {"arch.fmu.latency_cycles": [1, 2, 3, 4, 5], "threshold": [THETA]}
    count(recurrent_pass, "run_steps")
    swept(benchmark, {"axes": axes, "fixed": fixed(own / "net", own / "trace.npz")}, tmp_path)
    assert computed_policies == ["bnn"] and count.counts == {"run_steps": 2}


def test_thresholds_of_a_sweep_share_the_run_without_reuse(benchmark, count, tmp_path):
    own = write_lstm_files(tmp_path, [9, 7, 4])
    count(recurrent_pass, "run_steps")
    axes = {"threshold": [0.1, 0.2, 0.3, 0.4, 0.5]}
    swept(benchmark, {"axes": axes, "fixed": fixed(own / "net", own / "trace.npz")}, tmp_path)
    assert count.counts == {"run_steps": 5 + 1}


@pytest.mark.parametrize("small, large", [((1, 5000), (1, 10_000)), ((500, 60), (1000, 60))])
def test_memory_grows_by_less_than_two_bits_per_decision(small, large, benchmark, monkeypatch):
    monkeypatch.setattr(batching, "MAX_ROWS", 1000)
    monkeypatch.setattr(batch_runner, "WINDOW_STEPS", 1000)
    network = make_network("lstm", inputs=4, units=64)
    less, more = peak_bytes(network, *small), once(benchmark, peak_bytes, network, *large)
    decisions = (large[0] * large[1] - small[0] * small[1]) * network.neurons_per_step
    benchmark.extra_info["bits a decision"] = 8 * (more - less) / decisions
    assert 8 * (more - less) / decisions < 2


def peak_bytes(network, sequences, steps):
    """Return the peak of memory that a run allocates, in bytes."""
    inputs = np.random.default_rng(0).standard_normal((sequences, steps, network.input_size), np.float32)
    trace = archsim.Trace.from_arrays(list(inputs))
    options = {"threshold": THETA, "precision": "fp32", "keep_outputs": False}
    archsim.simulate(network, archsim.Trace.from_arrays([inputs[0, :2]]), **options)  # compiles
    tracemalloc.start()
    try:
        archsim.simulate(network, trace, **options)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def fixed(network, trace):
    """Return the choices that all points of a grid have in common."""
    return {"network": str(network), "trace": str(trace)}


def swept(benchmark, grid, folder):
    """Run a sweep in this process."""
    parsed, text = load_grid(grid)
    sweep_result = once(
        benchmark, sweep.run_points, plan_points(parsed), text, folder / "out", InProcessPool(), command="bench"
    )
    assert sweep_result.results["error"].isna().all()
