"""Timelines against the rules of the Chrome trace event format, and against their runs."""

import json
import tracemalloc
from collections import defaultdict

import pytest
from harness import arch_with, make_network, make_trace

import archsim

NUMBER = (int, float)
UNITS = {f"CU{k}.{unit}" for k in range(4) for unit in ("FMU", "DPU")} | {"MU"}


@pytest.fixture(scope="module", params=["block", "neuron"])
def shown(request, tmp_path_factory):
    """Return a run with a layer that streams its weights, and the events of its timeline."""
    network = make_network("lstm", inputs=20, units=12, layers=2)
    arch = arch_with(weight_buffer__capacity_bytes=600, weight_buffer__stream_rows=3)
    result = archsim.simulate(network, make_trace(network, (4, 6)), arch, "bnn", 0.5, detail=request.param)
    path = tmp_path_factory.mktemp("timeline") / "run.json"
    result.timeline(path)
    return result, json.loads(path.read_text())["traceEvents"]


def test_each_event_has_the_fields_of_its_phase(shown):
    _, events = shown
    fields = {"M": {"name", "args"}, "X": {"name", "ts", "dur", "tid"}, "C": {"name", "ts", "args"},
              "b": {"name", "cat", "id2", "ts", "args"}, "e": {"name", "cat", "id2", "ts"}}  # fmt: skip
    for event in events:
        assert fields[event["ph"]] <= set(event) and isinstance(event["pid"], int)
        assert isinstance(event["name"], str) and event["name"]
        if event["ph"] != "M":
            assert isinstance(event["ts"], NUMBER) and event["ts"] >= 0
        if event["ph"] == "X":
            assert event["dur"] >= 0
        if event["ph"] == "C":
            assert event["args"] and all(isinstance(value, NUMBER) for value in event["args"].values())


def test_events_are_in_order_of_time_after_the_names(shown):
    _, events = shown
    phases = [event["ph"] for event in events]
    assert phases == sorted(phases, key=lambda phase: phase != "M")
    times = [event["ts"] for event in events if event["ph"] != "M"]
    assert times == sorted(times)


def test_every_transfer_begins_and_ends_once(shown):
    _, events = shown
    sides = defaultdict(list)
    for event in events:
        if event["ph"] in "be":
            sides[event["cat"], event["id2"]["local"]].append((event["ph"], event["name"]))
    assert sides
    for side in sides.values():
        (first, name), (second, same_name) = side
        assert (first, second) == ("b", "e") and name == same_name


def test_every_span_is_on_a_named_track_and_within_the_run(shown):
    result, events = shown
    tracks = {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}
    assert set(tracks.values()) == UNITS | {"sequencer", "fill", "sequences", "DRAM"}
    for event in events:
        if event["ph"] == "X":
            assert event["tid"] in tracks
            assert event["ts"] + event["dur"] <= result.record["time_s"] * 1e6 + 1e-6


def test_spans_of_a_unit_do_not_overlap(shown):
    """A track is a stack of slices: one that begins inside another must end inside it."""
    _, events = shown
    tracks = {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}
    ends = defaultdict(float)
    for event in events:
        if event["ph"] == "X" and tracks[event["tid"]].endswith("DPU"):
            assert event["ts"] >= ends[event["tid"]] - 1e-6
            ends[event["tid"]] = event["ts"] + event["dur"]
    assert len(ends) == 4


def test_counters_show_reuse_bandwidth_and_queues(shown):
    result, events = shown
    counters = defaultdict(list)
    for event in events:
        if event["ph"] == "C":
            counters[event["name"]].append(next(iter(event["args"].values())))
    assert {"reuse", "DRAM bandwidth", "DRAM transfers"} <= set(counters)
    assert sum(counters["reuse"]) / (len(counters["reuse"]) - 1) / 100 == pytest.approx(result.record["reuse_fraction"])
    for name in ("reuse", "DRAM transfers", "DRAM bandwidth"):
        assert counters[name][-1] == 0 and max(counters[name]) > 0 and min(counters[name]) >= 0
    if result.record["detail"] == "neuron":
        assert max(counters["CU0.FMU decisions ahead"]) <= 16 and max(counters["CU0.rows on their way"]) == 3


def test_transfer_bytes_add_up_to_the_record(shown):
    result, events = shown
    assert sum(event["args"]["bytes"] for event in events if event["ph"] == "b") == result.record["dram_bytes"]


def test_span_names_give_layer_step_and_neurons(shown):
    result, events = shown
    names = {event["name"] for event in events if event["ph"] == "X"}
    if result.record["detail"] == "block":
        assert "step 3, layer 1, neurons 0 to 11" in names
    else:
        assert "evaluate 11, layer 1" in names and "reuse 0, layer 0" in names
    assert "layer 1, sequence 1" in names and "weights of layer 0" in names


def test_timeline_takes_less_than_3000_bytes_of_memory_per_step(tmp_path):
    """Events kept as objects took ten thousand bytes per step."""
    steps = 3000
    network = make_network("lstm", inputs=4, units=3)
    result = archsim.simulate(network, make_trace(network, (steps,)), "epur", "bnn", 0.5)
    tracemalloc.start()
    try:
        result.timeline(tmp_path / "run.json")
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 3000 * steps
    assert (tmp_path / "run.json").stat().st_size > 1000 * steps
