"""Main memory among events: the same as in replay, the priority of requesters, and the write ports."""

import numpy as np
import pytest
from harness_memory import main_memory
from hypothesis import given
from hypothesis import strategies as st

import archsim
from archsim.config.dram import DramSpec
from archsim.engine.environment import Engine
from archsim.kernels.dram.fill_ports import contended_read_end
from archsim.sim.memory.dram import FillTarget, Requester


def finishes_ps(transfers, *, spec=None, tick_ps=0):
    """Request (address, bytes, write, time), with a ticking process if wanted; return when each finishes."""
    env = Engine()
    dram, ends = main_memory(env, spec), {}

    def ask(i, address, n_bytes, write, at_ps):
        yield env.timeout(at_ps)
        yield dram.transfer(address, n_bytes, what="", write=write, requester=Requester.INPUTS)
        ends[i] = env.now_ps

    def tick():
        while True:
            yield env.timeout(tick_ps)

    requests = [env.process(ask(i, *transfer)) for i, transfer in enumerate(transfers)]
    if tick_ps:
        env.process(tick())
    env.run(until=env.all_of(requests))
    return [ends[i] for i in range(len(transfers))]


addresses = st.integers(0, 60).map(lambda i: i * 1024)
times_ps = st.integers(0, 4000).map(lambda i: i * 1250)


@given(st.lists(st.tuples(addresses, times_ps), min_size=1, max_size=50))
def test_finish_times_in_the_event_loop_equal_replay(requests):
    """Equal arrivals are given to the process in the event loop and to `replay_dram`."""
    finished_ps = finishes_ps([(address, 64, False, at) for address, at in requests])
    replayed = archsim.replay_dram([a for a, _ in requests], issue=[at / 1000 for _, at in requests])
    assert finished_ps == np.round(replayed["finish_ns"] * 1000).astype(int).tolist()


transfers = st.tuples(addresses, st.integers(1, 9000), st.booleans(), times_ps)


@given(st.lists(transfers, min_size=1, max_size=20), st.sampled_from([1000, 3137, 50_000]), st.integers(1, 2))
def test_run_ahead_leaves_finish_times_unchanged(requests, tick_ps, channels):
    """An event that is due all the time prevents run-ahead; every transfer still finishes at the same time."""
    spec = DramSpec().model_copy(update={"channels": channels})
    assert finishes_ps(requests, spec=spec, tick_ps=tick_ps) == finishes_ps(requests, spec=spec)


def test_simultaneous_requests_are_served_in_order_of_client_id():
    """All requests are made in the same memory cycle to closed rows, so the smaller client id is served first."""
    env = Engine()
    dram, order = main_memory(env), []
    requesters = [Requester.HEAD, Requester.OUTPUTS, Requester.WEIGHTS, 3, Requester.SPILLS, 0, Requester.INPUTS]
    for i, requester in enumerate(requesters):
        done = dram.transfer(4096 * i, 64, what="", requester=requester)
        done.callbacks.append(lambda _, requester=requester: order.append(requester))
    env.run()
    assert order == sorted(requesters)


@pytest.mark.parametrize("n_bytes, each, end_cycle", [
    (64, 64, 23 + 2),  # there at 45 ns, written from cycle 23 on in two words
    (64, 32, 23 + 1),  # a word for each of two units, at the same time
    (63, 63, 23 + 2),
    (4096, 4096, 180 + 128),  # a memory row is there at 360 ns
])  # fmt: skip
def test_fill_ends_when_its_words_are_written_through_the_port(n_bytes, each, end_cycle):
    env = Engine()
    env.run(until=main_memory(env, ports=2).transfer(0, n_bytes, what="", requester=0, target=FillTarget(0, each)))
    assert env.now_ps == 2000 * end_cycle


@pytest.mark.parametrize("start, cycles, end", [
    (0, 10, 10),  # over when the fill begins
    (8, 5, 8 + 5 + 4),
    (12, 5, 14 + 5),  # begins in the fill
    (14, 5, 19),
    (8, 20, 8 + 20 + 4 + 3),
    (8, 8, 8 + 8 + 4),  # over when the second fill begins
])  # fmt: skip
def test_reads_of_a_single_bank_wait_for_fills(start, cycles, end):
    """Fills take cycles 10 to 14 and 20 to 23."""
    memory = main_memory(Engine(), ports=1).memory
    memory.fills[0, :2] = [[10, 14], [20, 23]]
    memory.n_fills[0] = 2
    assert contended_read_end(memory, 0, start, cycles) == end
