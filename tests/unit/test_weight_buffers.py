"""Weight buffers: weights that stay or stream, banks, and the capacity that a network needs."""

import pytest
from harness import arch_with, make_network, make_translator
from harness_memory import TickingEngine, main_memory, reusing, run, total_weights
from hypothesis import given, settings
from hypothesis import strategies as st

import archsim
from archsim.activity import pass_shapes
from archsim.config.arch import ArchSpec
from archsim.engine.environment import Engine
from archsim.engine.probe import Probe
from archsim.sim.items import PassSegment, weight_groups
from archsim.sim.machines import EPUR, check_fit
from archsim.sim.memory.weight_buffers import WeightBuffers


def test_next_layers_weights_are_fetched_during_the_running_pass():
    """The second layer's fetch starts with the first layer's pass, and its own pass starts where that one ends."""
    network = make_network("lstm", inputs=64, units=64, layers=3)
    _, log = run(network, [40], ArchSpec().without_memo())
    fills, passes = log.spans_of("fill"), log.spans_of("sequencer")
    assert len(fills) == len(passes) == 3
    for layer in (1, 2):
        assert fills[layer][0] == passes[layer - 1][0] and fills[layer][1] < passes[layer - 1][1]
        assert passes[layer][0] == passes[layer - 1][1]


def test_fetch_waits_for_the_previous_pass_if_two_layers_do_not_fit():
    """No two layers fit, so the next layer's weights are fetched when the pass before is over."""
    network = make_network("lstm", inputs=64, units=64, layers=3)
    _, log = run(network, [40], arch_with(weight_buffer__capacity_bytes=64 * 128 * 2).without_memo())
    fills, passes = log.spans_of("fill"), log.spans_of("sequencer")
    for layer in (1, 2):
        assert fills[layer][0] == passes[layer - 1][1]
        assert 0 <= passes[layer][0] - fills[layer][1] < 2000  # the next edge of the clock
    assert log.times.waited_ps["machine", "weights"] == sum(end - start for start, end in fills)


def test_weights_of_a_network_that_fits_are_fetched_once():
    network = make_network("gru", inputs=20, units=16, layers=2, bidirectional=True)
    arch = ArchSpec()
    _, log = run(network, [5, 3, 8], arch)
    assert log.bytes_of("weights") == total_weights(network, arch) and log.bytes_of("row") == 0


def rows_to_fetch(network, activity, arch):
    """Return the bytes of evaluated neurons whose weights are streamed, by the record and the buffers' plan."""
    env, groups = Engine(), weight_groups(activity.shapes, arch)
    weights = WeightBuffers(env, EPUR, arch, groups, dram=main_memory(env), probe=Probe(env))
    total = 0
    for part, stream in weights.streams.items():
        for sequence in range(activity.n_sequences):
            evaluated = ~activity.reused(sequence, *part.shape.pass_key)
            total += int(evaluated[:, :, ~stream.resident].sum()) * part.row_bytes if stream else 0
    return total


@pytest.mark.parametrize("detail", ["block", "neuron"])
@pytest.mark.parametrize("fraction", [0, 0.4, 0.9, 1])
def test_streamed_pass_fetches_only_the_rows_of_evaluated_neurons(detail, fraction):
    network, arch = make_network("lstm", inputs=24, units=20), arch_with(weight_buffer__capacity_bytes=1000)
    activity = reusing(network, 6, fraction)
    _, log = run(network, None, arch, detail, activity)
    assert log.bytes_of("row") == rows_to_fetch(network, activity, arch)
    assert (log.bytes_of("row") == 0) == (fraction == 1)
    resident = log.bytes_of("weights")
    assert 0 < resident <= 4 * 1000  # what stays is fetched once


def test_baseline_fetches_all_streamed_rows_in_every_step():
    """20 rows of 88 bytes, 1000 bytes: four slots for rows on their way, the rest stays."""
    network, arch = make_network("lstm", inputs=24, units=20), arch_with(weight_buffer__capacity_bytes=1000)
    arch = arch.replace("weight_buffer.stream_rows", 4).without_memo()
    _, log = run(network, [6], arch)
    stay = 1000 // 88 - 4
    assert log.bytes_of("row") == 6 * 4 * (20 - stay) * 88
    assert log.bytes_of("weights") == 4 * stay * 88


@settings(max_examples=30)
@given(st.integers(1, 6), st.floats(0, 1), st.floats(0, 1), st.integers(0, 99), st.integers(300, 1700))
def test_more_reuse_fetches_no_more_bytes(steps, one, other, seed, capacity):
    network, arch = make_network("lstm", inputs=24, units=20), arch_with(weight_buffer__capacity_bytes=capacity)
    less, more = (
        run(network, None, arch, activity=reusing(network, steps, fraction, seed))[1].bytes_of("row")
        for fraction in sorted((one, other))
    )
    assert more <= less


@settings(max_examples=30)
@given(
    st.sampled_from(["lstm", "gru"]), st.integers(1, 60), st.integers(2, 40), st.integers(1, 6),
    st.floats(0, 1), st.floats(0.2, 1), st.integers(1, 2), st.integers(1, 20),
)  # fmt: skip
def test_streamed_pass_is_bounded_by_bandwidth_and_by_busy_units(
    cell, inputs, units, steps, fraction, share, channels, slots
):
    """The run takes no less time than its bytes at peak bandwidth, nor than the work of any unit."""
    network = make_network(cell, inputs=inputs, units=units)
    held = EPUR.weight_vectors(PassSegment(pass_shapes(network)[0])).total_bytes
    arch = arch_with(
        weight_buffer__capacity_bytes=int(share * held) + 1, weight_buffer__stream_rows=slots, dram__channels=channels
    )
    try:
        check_fit(network, pass_shapes(network), arch)
    except archsim.ArchsimError as error:
        arch = arch.replace("weight_buffer.capacity_bytes", error.need)
    finished, log = run(network, None, arch, activity=reusing(network, steps, fraction))
    assert finished.time_ps >= sum(n for _, n in log.moved) * 1e12 / arch.dram.peak_bytes_per_s
    assert finished.time_ps >= max(log.times.worked_ps.values())


@settings(max_examples=30)
@given(
    st.integers(1, 3), st.integers(1, 5), st.floats(0, 1), st.sampled_from([300, 1000, 4000, 1 << 20]),
    st.sampled_from([1, 16]), st.sampled_from([100, 1 << 20]), st.integers(1, 2),
)  # fmt: skip
def test_streamed_pass_unaffected_by_unrelated_traffic(layers, steps, fraction, capacity, banks, kept, channels):
    """Events that are due elsewhere only cut the co-simulation into shorter pieces."""
    network = make_network("lstm", inputs=12, units=10, layers=layers)
    arch = arch_with(
        weight_buffer__capacity_bytes=capacity, weight_buffer__banks=banks,
        intermediate_memory__capacity_bytes=kept, dram__channels=channels,
    )  # fmt: skip
    activity = reusing(network, steps, fraction)
    alone, log = run(network, None, arch, activity=activity)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("archsim.sim.accelerator.Engine", TickingEngine)
        together, other_log = run(network, None, arch, activity=activity)
    assert together.time_ps == alone.time_ps and together.events > alone.events
    assert other_log.times == log.times and other_log.moved == log.moved and other_log.spans == log.spans


def test_streaming_one_row_at_a_time_waits_a_read_latency_per_row():
    """One slot: each of 20 rows per step takes at least a read of an open row."""
    network = make_network("lstm", inputs=24, units=20)
    arch = arch_with(weight_buffer__capacity_bytes=1000, weight_buffer__stream_rows=1).without_memo()
    finished, log = run(network, [6], arch)
    fetched = log.bytes_of("row") // 88 // 4 // 6
    assert finished.time_ps >= 6 * fetched * (1 + 34 + 8) * 625
    assert all(log.times.waited_ps[f"CU{k}.DPU", "weights"] > 0 for k in range(4))


def test_single_bank_delays_reads_during_fills_two_banks_do_not():
    """Two layers fit together, so one is filled while the other is read. A single bank serves one access at a time."""
    network = make_network("lstm", inputs=64, units=64, layers=3)
    times, waits = {}, {}
    for banks in (1, 2, 16):
        arch = arch_with(weight_buffer__banks=banks).without_memo()
        finished, log = run(network, [40], arch)
        times[banks], waits[banks] = finished.time_ps, log.times.waited_ps["CU0.DPU", "a bank"]
    assert times[2] == times[16] < times[1] and waits[2] == waits[16] == 0
    # Two layers' fills of 16 KiB in words of 32 bytes are all the cycles it can lose.
    assert 0 < waits[1] <= 2 * 64 * 128 * 2 // 32 * 2000


@settings(max_examples=40)
@given(
    st.sampled_from(["lstm", "gru"]), st.integers(1, 40), st.integers(1, 30), st.integers(1, 3),
    st.lists(st.integers(1, 6), min_size=1, max_size=3), st.sampled_from([2, 8, 32]),
)  # fmt: skip
def test_single_bank_is_never_faster_than_two_if_weights_stay(cell, inputs, units, layers, lengths, port_bytes):
    """Weights stay here; a streamed pass that is late may meet a refresh at a better moment."""
    network = make_network(cell, inputs=inputs, units=units, layers=layers)
    one, two = (
        run(network, lengths, arch_with(weight_buffer__banks=n, weight_buffer__port_bytes=port_bytes))[0]
        for n in (1, 2)
    )
    assert one.time_ps >= two.time_ps


@pytest.mark.parametrize("kind", ["step", "mwl"])
@pytest.mark.parametrize("memo", [True, False])
@pytest.mark.parametrize("network", [
    make_network("lstm", inputs=24, units=20, layers=2), make_network("gru", inputs=70, units=3),
    make_translator(width=6, units=9, depth=2),
], ids=lambda n: n.name)  # fmt: skip
def test_capacity_named_by_the_refusal_is_the_smallest_that_fits(network, memo, kind):
    """One byte less is refused. A machine of that capacity has a slot for a row of every part."""
    arch = arch_with(weight_buffer__capacity_bytes=1, dataflow=kind)
    arch = arch if memo else arch.without_memo()
    shapes = pass_shapes(network)
    with pytest.raises(archsim.ArchsimError, match="needs weight_buffer.capacity_bytes >=") as refusal:
        check_fit(network, shapes, arch)
    need = refusal.value.need
    enough = arch.replace("weight_buffer.capacity_bytes", need)
    check_fit(network, shapes, enough)
    with pytest.raises(archsim.ArchsimError, match=f"the machine has {need - 1}"):
        check_fit(network, shapes, arch.replace("weight_buffer.capacity_bytes", need - 1))
    run(network, [2], enough)
