"""Columns that stream from main memory: cycles by hand, bytes, order, and the smallest buffer."""

import numpy as np
import pytest
from harness import arch_with, make_network
from harness_memory import RunLog, TickingEngine, main_memory
from hypothesis import given, settings
from hypothesis import strategies as st

from archsim.activity import ActivityRecord, pass_shapes
from archsim.config.precision import PRECISIONS
from archsim.engine.environment import Engine
from archsim.engine.probe import Probe
from archsim.engine.trace_events import PassDone
from archsim.errors import DoesNotFitError
from archsim.sim import waits
from archsim.sim.accelerator import simulate_activity
from archsim.sim.items import weight_groups
from archsim.sim.listeners.counters import ActionCounts
from archsim.sim.machines import DELTA, check_fit
from archsim.sim.memory.weight_buffers import WeightBuffers

DETAILS = ["block", "neuron"]


def record_of(network, *skipped):
    """Return a record of one sequence whose layers all skip columns as the rows of `skipped` (T, N) say."""
    shapes = pass_shapes(network)
    bits = np.packbits(np.asarray(skipped, np.bool_), axis=1)
    return ActivityRecord(shapes, {shape.pass_key: [bits] for shape in shapes}, kind="columns")


def random_record(network, steps, fraction, seed=0):
    """Return a record that skips a fraction after step 0; records of one seed are nested."""
    n = pass_shapes(network)[0].n_inputs
    skipped = np.random.default_rng(seed).random((steps, n)) < fraction
    skipped[0] = False
    return record_of(network, *skipped)


def run(network, activity, detail="block", **fields):
    """Simulate a record; return the length of the run, its log and the step ends of the first pass."""
    log, ends = RunLog(), []

    def listen(event):
        log(event)
        if isinstance(event, PassDone):
            ends.append(event.step_end_cycles.tolist())

    length = simulate_activity(network, activity, DELTA.spec(arch_with(**fields)), detail=detail, listeners=[listen])
    return length, log, ends[0]


def stream_of(network, arch):
    """Return what streams of the only pass of a network."""
    env, groups = Engine(), weight_groups(pass_shapes(network), arch)
    buffers = WeightBuffers(env, DELTA, arch, groups, dram=main_memory(env), probe=Probe(env))
    (stream,) = buffers.streams.values()
    return stream


@pytest.mark.parametrize("detail", DETAILS)
def test_columns_through_one_slot_take_64_cycles_for_two_and_48_for_one(detail):
    """An RNN of one unit over one input, a buffer of one column of two bytes.

    A column is known at 3. Its row of main memory is open, since the inputs lie in it: controller 1, CL 34 and BL/2 8
    are 43 cycles of 0.625 ns, 13.4 of 2 ns, and a quarter at most to the edge of main memory's clock. So the burst is
    here 14 cycles after the request, and its word is written in one more. Adding takes 1; then the slot is free.
    Step 0: 3 + 15 + 1, again 15 + 1, pipeline 8, update 20, write-back 1. Step 1, h alone: 3 + 15 + 1 + 8 + 20 + 1.
    """
    network = make_network("rnn", inputs=1, units=1)
    _, log, ends = run(network, record_of(network, [0, 0], [1, 0]), detail, weight_buffer__capacity_bytes=2)
    assert ends == [64, 64 + 48]
    assert log.times.waited_ps["CU0.DPU", "weights"] == (15 + 15 + 15) * 2000
    assert log.times.waited_ps["CU0.DPU", "a column"] == (3 + 3) * 2000


@pytest.mark.parametrize("detail", DETAILS)
def test_step_ends_with_the_gate_whose_columns_come_last(detail):
    """A GRU of the same size: three requests at 3, and gate 2 waits for two bursts of 8 more, 5 cycles in all.

    43 + 16 cycles of main memory are 18.4 to 18.7 of 2 ns, and one to write: gate 2 takes its first column at 23.
    Its second request, at 24, comes 2 cycles after gate 1's, which holds the bus for 2.5, so it takes 16 instead of 15:
    24 + 16 + 1, then 8 + 20 + 1. In step 1 it takes its only column at 23 again: 23 + 1 + 8 + 20 + 1.
    """
    network = make_network("gru", inputs=1, units=1)
    _, log, ends = run(network, record_of(network, [0, 0], [1, 0]), detail, weight_buffer__capacity_bytes=2)
    assert ends == [70, 70 + 53]
    waits = [log.times.waited_ps[f"CU{k}.DPU", "weights"] for k in range(3)]
    assert waits[0] < waits[1] < waits[2] == (20 + 16 + 20) * 2000


@pytest.mark.parametrize("detail", DETAILS)
def test_columns_on_chip_cost_a_step_nothing_and_hide_the_way_of_others(detail):
    """Four columns of two bytes in six: one slot and two that stay, columns 1 and 3.

    Column 2 needs the slot of column 0, which is free at 19, so it arrives at 34; column 1 is added meanwhile.
    """
    network = make_network("rnn", inputs=3, units=1)
    fields = {"weight_buffer__capacity_bytes": 6, "weight_buffer__stream_rows": 1}
    assert stream_of(network, DELTA.spec(arch_with(**fields))).resident.tolist() == [False, True, False, True]
    activity = record_of(network, [0, 0, 0, 0], [1, 0, 1, 0])
    _, _, ends = run(network, activity, detail, **fields)
    assert ends == [36 + 8 + 21, 36 + 8 + 21 + 3 + 2 + 8 + 21]


@pytest.mark.parametrize("detail", DETAILS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_only_columns_that_enter_and_do_not_stay_are_fetched(precision, detail):
    """An LSTM of 20 units over 24 inputs: 44 columns per gate of 40, 20 or 10 bytes, one fill of a buffer each word."""
    network, numbers = make_network("lstm", inputs=24, units=20), PRECISIONS[precision]
    activity = random_record(network, 6, 0.6)
    arch = arch_with(weight_buffer__capacity_bytes=numbers.weight_bytes(20) * 30).at_precision(precision)
    log = RunLog()
    simulate_activity(network, activity, DELTA.spec(arch), detail=detail, listeners=[log])
    stream = stream_of(network, DELTA.spec(arch))
    assert stream.slots == 16 and stream.resident.sum() == 30 - 16
    fetched = int((~activity.skipped(0, 0, 0))[:, ~stream.resident].sum())
    assert log.bytes_of("column") == 4 * fetched * numbers.weight_bytes(20)
    assert log.bytes_of("weights") == 4 * 14 * numbers.weight_bytes(20)  # what stays is fetched once


@pytest.mark.parametrize("detail", DETAILS)
def test_tail_waits_for_the_gate_that_knows_its_columns_last(detail):
    """The GRU above; both elements enter at step 1, and one column may wait, so h is placed once x is taken.

    Gates take x at 18, 21 or less, and 23, as above; three cycles later each knows its codes. Rows of 4 bits take 4
    cycles, and tails 30 more: 26 + 4 + 30, then 20 + 1. Gate 2's own sums are ready before: h is requested at 26 and
    here 17 cycles later at most, 43 + 1 + 8.
    """
    network = make_network("gru", inputs=1, units=1)
    tail = {"delta__tail_bits": 2, "delta__tail_width_bits": 1, "delta__tail_latency_cycles": 30}
    fields = {"weight_buffer__capacity_bytes": 2, "delta__queue_places": 1, **tail}
    _, log, ends = run(network, record_of(network, [0, 0], [0, 0]), detail, **fields)
    assert ends[1] - ends[0] == 26 + 4 + 30 + 21
    waited = [log.times.waited_ps[f"CU{k}.tail", waits.CODES] for k in range(3)]
    assert waited[0] <= waited[1] < waited[2] == 26 * 2000 and waited[0] == (18 + 3) * 2000
    assert 8 * 2000 <= log.times.waited_ps["MU", waits.TAIL] <= 10 * 2000


@pytest.mark.parametrize("detail", DETAILS)
def test_weights_of_a_tail_stay_in_their_bank_while_columns_stream(detail):
    """The LSTM above: 3 bits of 20 · 44 weights are 330 bytes per gate, 11 words; factors of four bytes per neuron."""
    network = make_network("lstm", inputs=24, units=20)
    activity, capacity = random_record(network, 6, 0.6), 40 * 30
    logs, tally = {}, ActionCounts()
    for bits in (0, 3):
        spec = DELTA.spec(arch_with(weight_buffer__capacity_bytes=capacity, delta__tail_bits=bits))
        logs[bits] = RunLog()
        listeners = [logs[bits], tally] if bits else [logs[bits]]
        simulate_activity(network, activity, spec, detail=detail, listeners=listeners)
    assert logs[3].bytes_of("column") == logs[0].bytes_of("column") > 0
    assert logs[3].bytes_of("weights") - logs[0].bytes_of("weights") == 4 * (330 + 20 * 4)
    assert tally.counts["tail_bank", "fill"] == 4 * 11
    assert tally.counts["tail_bank", "read"] == 5 * 4 * 20  # at every step but the first, a word per row of 132 bits


def test_tail_bank_must_hold_all_weights_of_columns_that_stream():
    """20 · 44 weights are 110 bytes per bit, although three columns of 40 bytes are all that the weight buffer holds."""
    network = make_network("lstm", inputs=24, units=20)
    spec = DELTA.spec(arch_with(weight_buffer__capacity_bytes=120, delta__tail_bits=3))
    check_fit(network, pass_shapes(network), spec.replace("delta.tail_plane_bytes", 110))
    with pytest.raises(DoesNotFitError, match="needs delta.tail_plane_bytes >= 110 bytes, the machine has 109"):
        check_fit(network, pass_shapes(network), spec.replace("delta.tail_plane_bytes", 109))


@settings(max_examples=20)
@given(st.integers(1, 5), st.floats(0, 1), st.floats(0, 1), st.integers(0, 99), st.integers(40, 1700))
def test_more_skipping_fetches_no_more_bytes(steps, one, other, seed, capacity):
    network = make_network("lstm", inputs=24, units=20)
    less, more = (
        run(network, random_record(network, steps, fraction, seed), weight_buffer__capacity_bytes=capacity)[1]
        for fraction in sorted((one, other))
    )
    assert more.bytes_of("column") <= less.bytes_of("column")


@settings(max_examples=20)
@given(
    st.integers(1, 2), st.integers(1, 4), st.floats(0, 1), st.sampled_from([20, 100, 300]),
    st.sampled_from([100, 1 << 20]), st.integers(1, 2),
)  # fmt: skip
def test_streamed_columns_unaffected_by_events_elsewhere(layers, steps, fraction, capacity, kept, channels):
    """Events that are due elsewhere only cut the co-simulation into shorter pieces."""
    network = make_network("lstm", inputs=10, units=10, layers=layers)
    fields = {
        "weight_buffer__capacity_bytes": capacity,
        "intermediate_memory__capacity_bytes": kept,
        "dram__channels": channels,
    }
    activity = random_record(network, steps, fraction)
    alone, log, ends = run(network, activity, **fields)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("archsim.sim.accelerator.Engine", TickingEngine)
        together, other_log, other_ends = run(network, activity, **fields)
    assert together.time_ps == alone.time_ps and together.events > alone.events and ends == other_ends
    assert other_log.times == log.times and other_log.moved == log.moved


@settings(max_examples=20)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 4), st.floats(0, 1), st.integers(1, 16))
def test_streaming_is_bounded_by_bandwidth_and_by_busy_units(inputs, units, steps, fraction, slots):
    """The run takes no less time than its bytes at peak bandwidth, nor than the work of any unit."""
    network = make_network("lstm", inputs=inputs, units=units)
    capacity = 2 * units * (1 + (inputs + units) // 3)
    fields = {"weight_buffer__capacity_bytes": capacity, "weight_buffer__stream_rows": slots}
    length, log, _ = run(network, random_record(network, steps, fraction), **fields)
    assert length.time_ps >= sum(n for _, n in log.moved) * 1e12 / arch_with().dram.peak_bytes_per_s
    assert length.time_ps >= max(log.times.worked_ps.values())


def test_buffer_of_one_column_is_the_smallest():
    network = make_network("lstm", inputs=24, units=20)
    spec = DELTA.spec(arch_with(weight_buffer__capacity_bytes=40))
    check_fit(network, pass_shapes(network), spec)
    with pytest.raises(DoesNotFitError, match="needs weight_buffer.capacity_bytes >= 40 bytes, the machine has 39"):
        check_fit(network, pass_shapes(network), spec.replace("weight_buffer.capacity_bytes", 39))
