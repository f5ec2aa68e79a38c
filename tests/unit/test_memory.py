"""The machine's memories: main memory among events, weights that stay or stream, and the intermediate memory's port."""

import numpy as np
import pytest
from harness import arch_with, make_network, make_translator
from hypothesis import given, settings
from hypothesis import strategies as st

import archsim
from archsim.activity import ActivityRecord, PassShape, pass_shapes
from archsim.config.arch import ArchSpec
from archsim.config.dram import DramSpec
from archsim.engine.environment import Engine
from archsim.engine.probe import Probe
from archsim.engine.trace_events import Busy, TransferDone
from archsim.kernels.dram.write_ports import read_end
from archsim.sim.accelerator import simulate_activity
from archsim.sim.capacity import check_fit
from archsim.sim.items import PassPart, Products, resident_groups
from archsim.sim.listeners.counters import UnitTimes
from archsim.sim.memory.dram import Client, FillTarget, MainMemory, WritePorts
from archsim.sim.memory.intermediate_port import IntermediatePort
from archsim.sim.memory.weight_buffers import WeightBuffers, group_bytes

FIRST_PS = (1 + 29 + 34 + 8) * 625
"""Controller, tRCD, CL, BL/2."""


def main_memory(env, spec=None, ports=0):
    return MainMemory(
        env, spec or DramSpec(), Probe(env), ports=WritePorts(ports, 32, 2000), n_transfers=64
    )  # fmt: skip


def finishes_ps(transfers, *, spec=None, tick_ps=0):
    """Ask for (address, bytes, write, time) as the time comes, perhaps while something else ticks; when each is done."""
    env = Engine()
    dram, ends = main_memory(env, spec), {}

    def ask(i, address, n_bytes, write, at_ps):
        yield env.timeout(at_ps)
        yield dram.transfer(address, n_bytes, what="", write=write, client=Client.INPUTS)
        ends[i] = env.now_ps

    def tick():
        while True:
            yield env.timeout(tick_ps)

    asked = [env.process(ask(i, *transfer)) for i, transfer in enumerate(transfers)]
    if tick_ps:
        env.process(tick())
    env.run(until=env.all_of(asked))
    return [ends[i] for i in range(len(transfers))]


addresses = st.integers(0, 60).map(lambda i: i * 1024)
times_ps = st.integers(0, 4000).map(lambda i: i * 1250)


@given(st.lists(st.tuples(addresses, times_ps), min_size=1, max_size=50))
def test_among_events_it_is_as_in_replay(asked):
    """The same arrivals, put to the process in the event loop and to `replay_dram`."""
    found = finishes_ps([(address, 64, False, at) for address, at in asked])
    replayed = archsim.replay_dram([a for a, _ in asked], issue=[at / 1000 for _, at in asked])
    assert found == np.round(replayed["finish_ns"] * 1000).astype(int).tolist()


transfers = st.tuples(addresses, st.integers(1, 9000), st.booleans(), times_ps)


@given(st.lists(transfers, min_size=1, max_size=20), st.sampled_from([1000, 3137, 50_000]), st.integers(1, 2))
def test_serving_ahead_changes_nothing(asked, tick_ps, channels):
    """With something due all the time it cannot look ahead, and everything is done at the same moment."""
    spec = DramSpec().model_copy(update={"channels": channels})
    assert finishes_ps(asked, spec=spec, tick_ps=tick_ps) == finishes_ps(asked, spec=spec)


def test_units_come_before_fills_and_fills_before_sequences():
    """Asked for in the same memory cycle, whoever calls first: rows closed alike, so the smaller client is first."""
    env = Engine()
    dram, order = main_memory(env), []
    clients = [Client.HEAD, Client.OUTPUTS, Client.WEIGHTS, 3, Client.SPILLS, 0, Client.INPUTS]
    for i, client in enumerate(clients):
        done = dram.transfer(4096 * i, 64, what="", client=client)
        done.callbacks.append(lambda _, client=client: order.append(client))
    env.run()
    assert order == sorted(clients)


@pytest.mark.parametrize("n_bytes, each, end_cycle", [
    (64, 64, 23 + 2),  # there at 45 ns, written from cycle 23 on in two words
    (64, 32, 23 + 1),  # a word for each of two units, at the same time
    (63, 63, 23 + 2),
    (4096, 4096, 180 + 128),  # a memory row is there at 360 ns
])  # fmt: skip
def test_a_fill_is_written_through_its_port(n_bytes, each, end_cycle):
    env = Engine()
    env.run(until=main_memory(env, ports=2).transfer(0, n_bytes, what="", client=0, landing=FillTarget(0, each)))
    assert env.now_ps == 2000 * end_cycle


@pytest.mark.parametrize("start, cycles, end", [
    (0, 10, 10),  # over when the fill begins
    (8, 5, 8 + 5 + 4),
    (12, 5, 14 + 5),  # begins in the fill
    (14, 5, 19),
    (8, 20, 8 + 20 + 4 + 3),
    (8, 8, 8 + 8 + 4),  # over when the second fill begins
])  # fmt: skip
def test_fills_of_a_single_bank_go_before_reads(start, cycles, end):
    """Fills from cycle 10 to 14 and from 20 to 23."""
    memory = main_memory(Engine(), ports=1).memory
    memory.windows[0, :2] = [[10, 14], [20, 23]]
    memory.n_windows[0] = 2
    assert read_end(memory, 0, start, cycles) == end


# Weights. Networks without reuse need no arithmetic: their record is known beforehand.


class Heard:
    """What was moved for whom, and what ran when."""

    def __init__(self):
        self.moved, self.spans, self.use = [], [], UnitTimes()

    def __call__(self, fact):
        self.use(fact)
        if isinstance(fact, TransferDone):
            self.moved.append((fact.what, fact.n_bytes))
        elif isinstance(fact, Busy) and fact.unit in ("fill", "sequencer"):
            self.spans.append((fact.unit, fact.what, fact.start_ps, fact.end_ps))

    def bytes_of(self, kind):
        return sum(n_bytes for what, n_bytes in self.moved if what.startswith(kind))

    def spans_of(self, unit):
        return [(start, end) for kind, _, start, end in self.spans if kind == unit]


def run(network, lengths, arch, detail="block", activity=None):
    shapes = pass_shapes(network)
    activity = activity or ActivityRecord.without_reuse(shapes, {shape.place: lengths for shape in shapes})
    heard = Heard()
    return simulate_activity(network, activity, arch, detail=detail, listeners=[heard]), heard


def reusing(network, steps, fraction, seed=0):
    """A record of one sequence that reuses so much; of two such records one's reuse is part of the other's."""
    bits = {}
    for shape in pass_shapes(network):
        drawn = np.random.default_rng(seed).random((steps, shape.neurons_per_step)) < fraction
        bits[shape.place] = [np.packbits(drawn, axis=1)]
    return ActivityRecord(pass_shapes(network), bits)


def total_weights(network, arch):
    return sum(PassPart(s).held_bytes(arch) * s.n_gates for s in pass_shapes(network))


def test_a_fetch_hides_behind_the_pass_that_runs():
    """The second layer's weights are on their way from the first one's start, and it starts where that ends."""
    network = make_network("lstm", inputs=64, units=64, layers=3)
    _, heard = run(network, [40], ArchSpec().without_memo())
    fills, passes = heard.spans_of("fill"), heard.spans_of("sequencer")
    assert len(fills) == len(passes) == 3
    for layer in (1, 2):
        assert fills[layer][0] == passes[layer - 1][0] and fills[layer][1] < passes[layer - 1][1]
        assert passes[layer][0] == passes[layer - 1][1]


def test_a_fetch_waits_for_room():
    """If no two layers fit, the next one's weights are fetched when the one before is over."""
    network = make_network("lstm", inputs=64, units=64, layers=3)
    _, heard = run(network, [40], arch_with(weight_buffer__capacity_bytes=64 * 128 * 2).without_memo())
    fills, passes = heard.spans_of("fill"), heard.spans_of("sequencer")
    for layer in (1, 2):
        assert fills[layer][0] == passes[layer - 1][1]
        assert 0 <= passes[layer][0] - fills[layer][1] < 2000  # the next edge of the clock
    assert heard.use.waited_ps["machine", "weights"] == sum(end - start for start, end in fills)


def test_a_network_that_fits_is_fetched_once():
    network = make_network("gru", inputs=20, units=16, layers=2, bidirectional=True)
    arch = ArchSpec()
    _, heard = run(network, [5, 3, 8], arch)
    assert heard.bytes_of("weights") == total_weights(network, arch) and heard.bytes_of("row") == 0


def rows_to_fetch(network, activity, arch):
    """Bytes of evaluated neurons whose weights do not stay, by the record and the weight buffers' own plan."""
    env, groups = Engine(), resident_groups(activity.shapes, arch)
    weights = WeightBuffers(env, arch, groups, dram=main_memory(env), probe=Probe(env))
    total = 0
    for part, stream in weights.streams.items():
        for sequence in range(activity.n_sequences):
            evaluated = ~activity.reused(sequence, *part.shape.place)
            total += int(evaluated[:, :, ~stream.resident].sum()) * part.row_bytes if stream else 0
    return total


@pytest.mark.parametrize("detail", ["block", "neuron"])
@pytest.mark.parametrize("fraction", [0, 0.4, 0.9, 1])
def test_a_pass_that_does_not_fit_fetches_the_rows_it_evaluates(detail, fraction):
    network, arch = make_network("lstm", inputs=24, units=20), arch_with(weight_buffer__capacity_bytes=1000)
    activity = reusing(network, 6, fraction)
    _, heard = run(network, None, arch, detail, activity)
    assert heard.bytes_of("row") == rows_to_fetch(network, activity, arch)
    assert (heard.bytes_of("row") == 0) == (fraction == 1)
    resident = heard.bytes_of("weights")
    assert 0 < resident <= 4 * 1000  # what stays is fetched once


def test_without_memoization_all_rows_that_do_not_stay_come_in_every_step():
    """20 rows of 88 bytes, 1000 bytes: some places for rows on their way, the rest stays."""
    network, arch = make_network("lstm", inputs=24, units=20), arch_with(weight_buffer__capacity_bytes=1000)
    arch = arch.replace("weight_buffer.stream_rows", 4).without_memo()
    _, heard = run(network, [6], arch)
    stay = 1000 // 88 - 4
    assert heard.bytes_of("row") == 6 * 4 * (20 - stay) * 88
    assert heard.bytes_of("weights") == 4 * stay * 88


@settings(max_examples=30)
@given(st.integers(1, 6), st.floats(0, 1), st.floats(0, 1), st.integers(0, 99), st.integers(300, 1700))
def test_more_reuse_fetches_less(steps, one, other, seed, capacity):
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
def test_a_streaming_pass_is_not_faster_than_main_memory(cell, inputs, units, steps, fraction, share, channels, slots):
    """Nor than its own dot products."""
    network = make_network(cell, inputs=inputs, units=units)
    held = PassPart(pass_shapes(network)[0]).held_bytes(ArchSpec())
    arch = arch_with(
        weight_buffer__capacity_bytes=int(share * held) + 1, weight_buffer__stream_rows=slots, dram__channels=channels
    )
    try:
        check_fit(network, pass_shapes(network), arch)
    except archsim.ArchsimError as error:
        arch = arch.replace("weight_buffer.capacity_bytes", error.need)
    finished, heard = run(network, None, arch, activity=reusing(network, steps, fraction))
    assert finished.time_ps >= sum(n for _, n in heard.moved) * 1e12 / arch.dram.peak_bytes_per_s
    assert finished.time_ps >= max(heard.use.worked_ps.values())


class Ticking(Engine):
    """An engine in which something is due all the time."""

    def __init__(self):
        super().__init__()
        self.process(self._tick())

    def _tick(self):
        while True:
            yield self.timeout(1700)


@settings(max_examples=30)
@given(
    st.integers(1, 3), st.integers(1, 5), st.floats(0, 1), st.sampled_from([300, 1000, 4000, 1 << 20]),
    st.sampled_from([1, 16]), st.sampled_from([100, 1 << 20]), st.integers(1, 2),
)  # fmt: skip
def test_a_pass_in_step_with_the_memory_does_not_mind_company(layers, steps, fraction, capacity, banks, kept, channels):
    """What is due elsewhere only cuts its progress into pieces."""
    network = make_network("lstm", inputs=12, units=10, layers=layers)
    arch = arch_with(
        weight_buffer__capacity_bytes=capacity, weight_buffer__banks=banks,
        intermediate_memory__capacity_bytes=kept, dram__channels=channels,
    )  # fmt: skip
    activity = reusing(network, steps, fraction)
    alone, heard = run(network, None, arch, activity=activity)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("archsim.sim.accelerator.Engine", Ticking)
        together, also_heard = run(network, None, arch, activity=activity)
    assert together.time_ps == alone.time_ps and together.events > alone.events
    assert also_heard.use == heard.use and also_heard.moved == heard.moved and also_heard.spans == heard.spans


def test_waiting_for_weights_is_what_streaming_costs():
    """One row at a time: every one of 20 rows a step takes at least a first access to an open row."""
    network = make_network("lstm", inputs=24, units=20)
    arch = arch_with(weight_buffer__capacity_bytes=1000, weight_buffer__stream_rows=1).without_memo()
    finished, heard = run(network, [6], arch)
    fetched = heard.bytes_of("row") // 88 // 4 // 6
    assert finished.time_ps >= 6 * fetched * (1 + 34 + 8) * 625
    assert all(heard.use.waited_ps[f"CU{k}.DPU", "weights"] > 0 for k in range(4))


def test_one_bank_is_slower_while_a_fill_arrives():
    """Reads and fills of two layers that fit together: one bank serves one at a time, more do not notice."""
    network = make_network("lstm", inputs=64, units=64, layers=3)
    times, waits = {}, {}
    for banks in (1, 2, 16):
        arch = arch_with(weight_buffer__banks=banks).without_memo()
        finished, heard = run(network, [40], arch)
        times[banks], waits[banks] = finished.time_ps, heard.use.waited_ps["CU0.DPU", "a bank"]
    assert times[2] == times[16] < times[1] and waits[2] == waits[16] == 0
    # Two layers' fills of 16 KiB in words of 32 bytes are all the cycles it can lose.
    assert 0 < waits[1] <= 2 * 64 * 128 * 2 // 32 * 2000


@settings(max_examples=40)
@given(
    st.sampled_from(["lstm", "gru"]), st.integers(1, 40), st.integers(1, 30), st.integers(1, 3),
    st.lists(st.integers(1, 6), min_size=1, max_size=3), st.sampled_from([2, 8, 32]),
)  # fmt: skip
def test_one_bank_is_never_faster_than_two(cell, inputs, units, layers, lengths, port_bytes):
    """Where weights stay; a pass that streams may meet a refresh at a better moment for being late."""
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
def test_the_capacity_asked_for_is_enough(network, memo, kind):
    """And one byte less is not; a machine of that size has a place for a row of every part."""
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


# The order of products.


def streams(shapes, arch):
    env, groups = Engine(), resident_groups(shapes, arch)
    return WeightBuffers(env, arch, groups, dram=main_memory(env), probe=Probe(env)).streams


def test_a_large_layer_fits_in_two_halves():
    """1024 units over 1024 inputs: 4 MiB in one computation unit, exactly 2 MiB for each half."""
    shapes = (PassShape(0, 0, 4, 1024, 2048),)
    step, mwl = ArchSpec().without_memo(), arch_with(dataflow="mwl").without_memo()
    assert [group_bytes(step, g) for g in resident_groups(shapes, step)] == [4 << 20]
    assert [group_bytes(mwl, g) for g in resident_groups(shapes, mwl)] == [2 << 20, 2 << 20]
    assert all(streams(shapes, step).values()) and not any(streams(shapes, mwl).values())


def test_a_memoization_unit_also_keeps_the_signs_of_the_other_half():
    """The predictor takes [x; h] of a step: a bit for each of 1024 times 1024 weights with x, 128 KiB too many."""
    shapes, arch = (PassShape(0, 0, 4, 1024, 2048),), arch_with(dataflow="mwl")
    inputs, recurrent = streams(shapes, arch).values()
    assert inputs is None and recurrent is not None
    larger = arch.replace("weight_buffer.capacity_bytes", (2 << 20) + (128 << 10))
    assert not any(streams(shapes, larger).values())


def test_a_decoder_keeps_the_order_of_its_steps():
    """Its next input is its own output: no products can be made ahead."""
    shapes = pass_shapes(make_translator(width=6, units=9, depth=2))
    *encoder, decoder = resident_groups(shapes, arch_with(dataflow="mwl"))
    assert [part.products for group in encoder for part in group] == [Products.INPUTS, Products.RECURRENT] * 2
    assert [part.products for part in decoder] == [Products.ALL] * 2


def test_two_halves_make_the_same_products():
    """Each half's weights once, and each half's dot products at every step."""
    network, lengths = make_network("lstm", inputs=24, units=20), [6]
    step, mwl = ArchSpec().without_memo(), arch_with(dataflow="mwl").without_memo()
    (_, one), (_, two) = run(network, lengths, step), run(network, lengths, mwl)
    assert one.bytes_of("weights") == two.bytes_of("weights") == total_weights(network, step)
    assert len(one.spans_of("sequencer")) == 1 and len(two.spans_of("sequencer")) == 2
    # 44 columns in 3 cycles of 16 lanes, or 24 in 2 and 20 in 2
    assert one.use.worked_ps["CU0.DPU"] == 6 * 20 * 3 * 2000 and two.use.worked_ps["CU0.DPU"] == 6 * 20 * 4 * 2000


# The intermediate memory.


@pytest.mark.parametrize("detail", ["block", "neuron"])
@pytest.mark.parametrize("capacity", [1 << 20, 300, 100])
def test_what_does_not_fit_is_written_and_read_back(capacity, detail):
    """Two layers of 6 to 10 and 10 to 10 numbers, 2 bytes each, both ends of a layer together."""
    network, lengths = make_network("gru", inputs=6, units=10, layers=2), [3, 9, 7]
    arch = arch_with(intermediate_memory__capacity_bytes=capacity).without_memo()
    _, heard = run(network, lengths, arch, detail)
    excess = sum(max(0, 2 * t * (inputs + 10) - capacity) for t in lengths for inputs in (6, 10))
    assert heard.bytes_of("spill") == 2 * excess
    assert heard.bytes_of("inputs") == sum(lengths) * 6 * 2 and heard.bytes_of("outputs") == sum(lengths) * 10 * 2


def test_partial_products_take_place_as_well():
    """Four products a unit and step, until the recurrence takes them."""
    network, arch = make_network("lstm", inputs=6, units=10), arch_with(dataflow="mwl").without_memo()
    arch = arch.replace("intermediate_memory.capacity_bytes", 200)
    _, heard = run(network, [5], arch)
    assert heard.bytes_of("spill") == 2 * (5 * (2 * (6 + 10) + 4 * 40) - 200)


def moved_at(arch, n_bytes, *claims):
    """The cycle at which a sequence's bytes are through; claims are (told in cycle, steps' starts, words)."""
    env = Engine()
    port = IntermediatePort(env, arch)

    def claim(told, starts, words):
        yield env.timeout(2000 * told)
        port.claim(np.array(starts, np.int64), words)

    for told, *rest in claims:
        if told:
            env.process(claim(told, *rest))
        else:
            port.claim(np.array(rest[0], np.int64), rest[1])
    env.run(until=env.process(port.move(n_bytes)))
    return env.now_ps // 2000


@pytest.mark.parametrize("claims, end", [
    ([], 20),
    ([(0, [0], 4)], 24),
    ([(0, [0, 10], 4)], 28),
    ([(0, [19], 4)], 24),
    ([(0, [20], 4)], 20),  # it is through
    ([(0, [0, 2], 4)], 28),  # the second step's words wait for the first one's
    ([(0, range(0, 80, 8), 8)], 100),  # no cycle is left before the last of ten steps' words are through
    ([(5, [12], 4)], 24),  # told of meanwhile
    ([(5, [19], 4), (22, [23], 2)], 26),
])  # fmt: skip
def test_steps_go_first(claims, end):
    """Twenty words of a sequence from cycle 0 on."""
    assert moved_at(ArchSpec(), 20 * 32, *claims) == end


def test_two_ports_do_not_contend():
    assert moved_at(arch_with(intermediate_memory__ports=2), 20 * 32, (0, [0, 10], 4)) == 20


def test_a_sequence_occupies_the_port_for_a_row_of_main_memory_at_most():
    """The rest goes through as the transfer goes."""
    assert moved_at(ArchSpec(), 1 << 20) == 4096 // 32


def test_sequences_take_turns():
    env = Engine()
    port, ends = IntermediatePort(env, ArchSpec()), []
    for n_words in (20, 5):
        env.process(port.move(32 * n_words)).callbacks.append(lambda _: ends.append(env.now_ps // 2000))
    env.run()
    assert ends == [20, 25]
