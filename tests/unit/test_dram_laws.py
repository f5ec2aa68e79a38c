"""Laws of main memory: what holds for any requests on any machine."""

import numpy as np
from harness_dram import BL, CL, CWL, FOREVER_PS, JEDEC, NEXT_ROW, Bench, finish_cycles, spec_with
from hypothesis import given, settings
from hypothesis import strategies as st

import archsim
from archsim.kernels.dram.frfcfs import advance
from archsim.kernels.dram.requests import ARRIVAL, ORDER, QUEUED

requests = st.lists(
    st.tuples(st.integers(0, 40).map(lambda i: i * 1024), st.integers(0, 3000)), min_size=1, max_size=60
)
machines = st.builds(
    spec_with,
    channels=st.integers(1, 2), ranks=st.integers(1, 2), columns=st.sampled_from([16, 64, 1024]),
    queue_depth=st.sampled_from([1, 2, 5, 96]), row_hit_limit=st.integers(1, 5),
    tfaw_cycles=st.sampled_from([32, 64, 150]), trefi_cycles=st.sampled_from([2000, 6246]),
)  # fmt: skip


@settings(max_examples=200)
@given(machines, requests, st.integers(1, 400), st.integers(0, 2**60 - 1))
def test_every_transfer_finishes_once_within_bus_and_latency_bounds(spec, wanted, n_bytes, writes):
    """Every transfer finishes, no sooner than its bursts can pass the bus; commands and power states add up."""
    bench = Bench(spec)
    for i, (address, at) in enumerate(wanted):
        bench.ask(address, at, n_bytes=n_bytes, write=bool(writes >> i & 1))
    ends = bench.serve()
    bursts = -(-n_bytes // 64)
    for i, ((_, at), end) in enumerate(zip(wanted, ends, strict=True)):
        least = (CWL if writes >> i & 1 else CL) + BL * -(-bursts // spec.channels)
        assert end >= at + 1 + least
    counts = bench.counts(until=max(ends))
    assert counts["read"] + counts["write"] == bursts * len(wanted)
    assert counts["precharge"] <= counts["activate"] <= counts["read"] + counts["write"] + counts["refresh"]
    assert max(ends) * spec.channels >= bursts * len(wanted) * BL  # never above the peak
    states = sum(counts[state] for state in ("active_standby", "open_power_down", "closed_power_down"))
    assert states >= max(ends) * spec.channels


@given(machines, requests, st.integers(1, 9000))
def test_queue_stays_in_age_order(spec, wanted, n_bytes):
    """The queue is in order of age when requests enter late, leave from the middle, or are requeued for another row."""
    bench, finished, n = Bench(spec), np.zeros(1, np.int64), 1
    for address, at in wanted:
        bench.ask(address, at, n_bytes=n_bytes)
    while n:
        n, _ = advance(bench.memory, bench.times, FOREVER_PS, finished)
        for queue, places, queued in zip(
            bench.memory.queue, bench.memory.age_order, bench.memory.cursors[:, QUEUED], strict=True
        ):
            ages = queue[places[:queued]][:, [ARRIVAL, ORDER]].tolist()
            assert ages == sorted(ages)
            assert sorted(places) == list(range(places.size))


@given(machines, st.lists(st.integers(0, 40).map(lambda i: i * 1024), min_size=1, max_size=60))
def test_queue_depth_of_one_serves_requests_in_order(spec, addresses):
    """With one channel and a queue of one, requests finish in the order in which they were made."""
    spec = spec.model_copy(update={"queue_depth": 1, "channels": 1})
    ends = finish_cycles(*((address, 0) for address in addresses), spec=spec)
    assert ends == sorted(ends)


@given(requests)
def test_finish_times_unchanged_when_all_rows_are_shifted(wanted):
    """Times depend only on which accesses share a row and a bank: all requests are moved on by a thousand rows."""
    shifted = [(address + 1000 * NEXT_ROW, at) for address, at in wanted]
    assert finish_cycles(*wanted) == finish_cycles(*shifted)


@given(requests, st.integers(0, 9))
def test_later_read_leaves_earlier_finish_times_unchanged(wanted, address):
    ends = finish_cycles(*wanted)
    assert finish_cycles(*wanted, (address * 64, max(ends)))[:-1] == ends


@given(requests, st.randoms(use_true_random=False))
def test_replay_returns_rows_in_the_order_of_its_requests(wanted, random):
    """Rows of the result are in the order of the requests, whatever the order of their issue times."""
    order = list(range(len(wanted)))
    random.shuffle(order)
    distinct = [(address, 0.625 * at + 0.001 * i) for i, (address, at) in enumerate(wanted)]
    plain, shuffled = (
        archsim.replay_dram([distinct[i][0] for i in o], JEDEC, issue=[distinct[i][1] for i in o])
        for o in (range(len(wanted)), order)
    )
    assert plain["finish_ns"].to_numpy()[order].tolist() == shuffled["finish_ns"].tolist()
