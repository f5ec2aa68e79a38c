"""Ports, credits and the event loop: latency to the picosecond, order, and numbers of events."""

import numpy as np
import pytest
from harness import arch_with, make_network
from hypothesis import given
from hypothesis import strategies as st

from archsim.activity import ActivityRecord, pass_shapes
from archsim.engine.environment import Engine
from archsim.engine.port import Port
from archsim.engine.probe import Probe
from archsim.engine.trace_events import Busy, QueueDepth, TraceEvent, Worked
from archsim.sim.accelerator import simulate_activity
from archsim.sim.listeners.counters import UnitTimes
from archsim.sim.units.unit import Credits, Unit

EPUR = arch_with()


def receive(env, port, n, received, busy_ps=0):
    """Take `n` items from a port and note the time of each; be busy for a while after each."""
    for _ in range(n):
        item = yield from port.get()
        received.append((env.now_ps, item))
        if busy_ps:
            yield env.timeout(busy_ps)


def events_of(env, process):
    """Return the number of events of a process, without those of its beginning and end."""
    before = env.processed_events
    env.run(until=env.process(process))
    return env.processed_events - before - 2


def test_get_of_an_arrived_item_takes_no_event():
    env, received = Engine(), []
    port = Port(env)
    for item in "abc":
        port.send(item)
    assert events_of(env, receive(env, port, 3, received)) == 0
    assert received == [(0, "a"), (0, "b"), (0, "c")]


def test_get_of_an_item_in_flight_takes_one_event():
    env, received = Engine(), []
    port = Port(env)
    port.send("a", 700)
    port.send("b", 700)
    assert events_of(env, receive(env, port, 2, received)) == 1
    assert received == [(700, "a"), (700, "b")]


def test_get_before_send_takes_one_event():
    """The item is sent at 100 and arrives at 350; the receiver is not woken before."""
    env, received = Engine(), []
    port = Port(env)
    env.timeout(100).callbacks.append(lambda _: port.send("a", 250))
    assert events_of(env, receive(env, port, 1, received)) == 1 + 1
    assert received == [(350, "a")]


def test_item_of_shorter_delay_does_not_overtake():
    env, received = Engine(), []
    port = Port(env)
    port.send("slow", 500)
    port.send("fast", 1)
    env.run(until=env.process(receive(env, port, 2, received)))
    assert received == [(500, "slow"), (500, "fast")]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), min_size=1, max_size=12), st.integers(0, 4))
def test_items_are_received_in_order_at_arrival_or_when_free(sends, busy_ps):
    """Item n arrives at max(sent + delay, arrival of n-1), and is received then or when the receiver is free."""
    env, received, expected = Engine(), [], []
    port = Port(env)

    def send_all():
        for n, (pause_ps, delay_ps) in enumerate(sends):
            yield env.timeout(pause_ps)
            port.send(n, delay_ps)

    sent_ps = arrival_ps = free_ps = 0
    for n, (pause_ps, delay_ps) in enumerate(sends):
        sent_ps += pause_ps
        arrival_ps = max(arrival_ps, sent_ps + delay_ps)
        expected.append((max(arrival_ps, free_ps), n))
        free_ps = expected[-1][0] + busy_ps
    env.process(send_all())
    env.run(until=env.process(receive(env, port, len(sends), received, busy_ps)))
    assert received == expected


def test_credit_wait_takes_an_event_only_if_none_is_free():
    """Three credits, each given back 100 ps after it was taken."""
    env, taken_ps = Engine(), []
    credits = Credits(env, 3, "q", Probe(env))

    def take_all():
        for _ in range(7):
            if not credits.n_free:
                yield credits.next_return()
            credits.take()
            taken_ps.append(env.now_ps)
            env.timeout(100).callbacks.append(lambda _: credits.give())

    gives, waits = 6, 2
    assert events_of(env, take_all()) == gives + waits
    assert taken_ps == [0, 0, 0, 100, 100, 100, 200]


def test_queue_depth_is_emitted_only_to_listeners_that_want_spans():
    class Drawing(list):
        wants_spans = True
        __call__ = list.append

    class Other(list):
        __call__ = list.append

    for listener, depths in ((Drawing(), [1, 2, 1]), (Other(), [])):
        env = Engine()
        credits = Credits(env, 2, "q", Probe(env, [listener]))
        credits.take()
        credits.take()
        credits.give()
        assert [event.depth for event in listener] == depths


def test_unit_emits_its_times_once():
    env, times = Engine(), UnitTimes()
    unit = Unit(env, "U", EPUR, Probe(env, [times]))
    for _ in range(3):
        unit.count_work(40, "item {}", 1)
        unit.count_wait("items", env.now_ps - 7)
        unit.count_wait("nothing", env.now_ps)
    assert not times.worked_ps
    unit.emit_times()
    unit.emit_times()
    assert times.worked_ps == {"U": 120} and times.waited_ps == {("U", "items"): 21}


def test_engine_counts_processed_events():
    env = Engine()
    for delay_ps in (1, 2, 3):
        env.timeout(delay_ps)
    env.run(until=3)
    assert env.processed_events == 2 + 1, "the one that ends the run as well"


def test_end_of_instant_follows_every_event_of_that_time():
    """It also follows events that are scheduled for the same time later, or by those events."""
    env, order = Engine(), []
    env.end_of_instant().callbacks.append(lambda _: order.append("end"))
    again = env.timeout(0)
    again.callbacks.append(lambda _: env.timeout(0).callbacks.append(lambda _: order.append("in it")))
    env.timeout(1).callbacks.append(lambda _: order.append("later"))
    env.run()
    assert order == ["in it", "end", "later"]


def neuron_run(arch, reuse, **shape):
    """Return the events of a run of 12 steps in detail `neuron`, and its number of neurons."""
    network = make_network("lstm", **shape)
    rng = np.random.default_rng(0)
    bits = {
        shape.pass_key: [np.packbits(rng.random((12, shape.neurons_per_step)) < reuse, axis=1)]
        for shape in pass_shapes(network)
    }
    activity = ActivityRecord(pass_shapes(network), bits)
    return simulate_activity(network, activity, arch, detail="neuron").events, activity.neurons_total


@pytest.mark.parametrize("reuse, events", [(0.0, 14051), (0.3, 14349), (0.7, 14401), (1.0, 14051)])
def test_event_count_with_memoization_is_pinned(reuse, events):
    """One event per busy time of the DPU, one per wait for the FMU; the meeting of the gates is shared."""
    n_events, neurons = neuron_run(EPUR, reuse, inputs=128, units=128)
    assert n_events == events and n_events / neurons < 2.5


def test_event_count_of_the_baseline_is_pinned():
    n_events, neurons = neuron_run(EPUR.without_memo(), 0.0, inputs=128, units=128)
    assert n_events == 7907 and n_events / neurons < 1.3


@pytest.mark.parametrize("fields, events", [
    ({"weight_buffer__capacity_bytes": 40_000}, 26668),
    ({"dispatch": "shared"}, 43973),
    ({"dataflow": "mwl"}, 22224),
])  # fmt: skip
def test_event_count_of_other_machines_is_pinned(fields, events):
    assert neuron_run(arch_with(**fields), 0.7, inputs=128, units=128)[0] == events


def test_listener_receives_the_events_it_subscribes_to_or_all():
    class Some(list):
        subscribes_to = (QueueDepth,)

        def __call__(self, event):
            self.append(event)

    class Kinds(Some):
        subscribes_to = (TraceEvent,)

    few, received, kinds = Some(), [], Kinds()
    probe = Probe(Engine(), [few, received.append, kinds])
    probe.emit(QueueDepth, queue="q", depth=1)
    probe.emit(Worked, unit="u", time_ps=2)
    assert [type(event) for event in received] == [QueueDepth, Worked] and list(few) == received[:1]
    assert list(kinds) == received


def test_trace_event_without_subscriber_is_not_constructed():
    """Its details are not even looked at."""

    class Deaf:
        subscribes_to = (Busy,)

        def __call__(self, event):
            raise AssertionError(event)

    Probe(Engine(), [Deaf()]).emit(Worked, no_such="field")
    with pytest.raises(TypeError):
        Probe(Engine(), [Deaf()]).emit(Busy, no_such="field")
