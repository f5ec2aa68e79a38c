"""The two levels of detail give the same times, counts and energy, pass by pass."""

from collections import Counter

import numpy as np
import pytest
from harness import arch_with, make_network, make_tokens, make_trace, make_translator
from hypothesis import given, settings
from hypothesis import strategies as st

import archsim

COMPARED = Counter()


@pytest.fixture(scope="module", autouse=True)
def say_how_many(request):
    """Print, at the end, how many runs and passes were compared."""
    yield
    print(f"neuron = block: {dict(COMPARED)}")


@st.composite
def runs(draw):
    """A small network, with a decoder or without, a trace, a policy and a machine."""
    kind, seed = draw(st.sampled_from(["lstm", "gru", "translator"])), draw(st.integers(0, 99))
    sizes = {"units": draw(st.integers(1, 12)), "seed": seed}
    inputs, depth = draw(st.integers(1, 70)), draw(st.integers(1, 2))
    lengths = draw(st.lists(st.integers(1, 7), min_size=1, max_size=3))
    if kind == "translator":
        network = make_translator(width=inputs, depth=depth, **sizes)
        trace = make_tokens(network, lengths, seed)
    else:
        network = make_network(kind, inputs=inputs, layers=depth, bidirectional=draw(st.booleans()), **sizes)
        trace = make_trace(network, lengths, seed)
    arch = arch_with(
        dpu__lanes=draw(st.sampled_from([1, 4, 16])), dpu__pipeline_cycles=draw(st.integers(0, 9)),
        mu__interval_cycles=draw(st.integers(0, 3)), mu__pipeline_cycles=draw(st.integers(0, 21)),
        mu__result_lag=draw(st.integers(1, 5)), mu__writeback_cycles=draw(st.integers(0, 2)),
        fmu__width_bits=draw(st.sampled_from([16, 64, 2048])), fmu__latency_cycles=draw(st.integers(1, 7)),
        fmu__run_ahead=draw(st.integers(1, 5)), fmu__pass_on_cycles=draw(st.integers(1, 3)),
        weight_buffer__capacity_bytes=draw(st.sampled_from([4000, 1 << 21])),
        intermediate_memory__capacity_bytes=draw(st.sampled_from([100, 1 << 20])),
    )  # fmt: skip
    return network, trace, arch, draw(st.sampled_from(["none", "bnn", "oracle"])), draw(st.floats(0, 2))


def check_details_agree(run):
    network, trace, arch, policy, theta = run
    COMPARED["runs"] += 1
    COMPARED["passes"] += len(trace) * sum(len(layer.directions) for layer in network.layers)
    block, neuron = (
        archsim.simulate(network, trace, arch, policy, theta, detail=detail) for detail in ("block", "neuron")
    )
    for key, ends in block.timing.ends.items():
        np.testing.assert_array_equal(ends, neuron.timing.ends[key])
    assert len(block.timing.ends) == len(trace) * sum(len(layer.directions) for layer in network.layers)
    assert block.record["cycles"] == neuron.record["cycles"]
    assert block.record["baseline_cycles"] == neuron.record["baseline_cycles"]
    assert block.energy.sort_values(["component", "action"]).equals(neuron.energy.sort_values(["component", "action"]))


@settings(max_examples=60)
@given(runs())
def test_block_equals_neuron(run):
    """The fast path may merge events, never change a completion time, a count or a joule."""
    check_details_agree(run)


@pytest.mark.slow
@settings(max_examples=1500)
@given(runs())
def test_block_equals_neuron_many_times(run):
    check_details_agree(run)
