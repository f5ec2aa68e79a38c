"""Chrome trace events, as Perfetto and chrome://tracing read them: a track per unit, transfers, and counters."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archsim.engine.facts import Busy, Fact, QueueDepth, StepDone, TransferDone
from archsim.files import write_whole

PS_PER_US = 1_000_000
BANDWIDTH_POINTS = 2000
"""Most points of the bandwidth's curve."""
PROCESS, FIRST_TRACK = 1, 10
"""Viewers take thread 0, and a thread of its process's number, for something special."""
TRANSFERS = "DRAM"
Event = dict[str, Any]
F64 = NDArray[np.float64]


@dataclass
class Timeline:
    """A listener that keeps what can be drawn: spans of units, transfers of main memory, reuse, queues."""

    draws = True
    hears = (Busy, TransferDone, StepDone, QueueDepth)
    spans: list[Busy] = field(default_factory=list)
    transfers: list[TransferDone] = field(default_factory=list)
    steps: list[StepDone] = field(default_factory=list)
    depths: list[QueueDepth] = field(default_factory=list)

    def __call__(self, fact: Fact) -> None:
        """Keep a fact."""
        if isinstance(fact, Busy):
            self.spans.append(fact)
        elif isinstance(fact, TransferDone) and fact.n_bytes:
            self.transfers.append(fact)
        elif isinstance(fact, StepDone):
            self.steps.append(fact)
        elif isinstance(fact, QueueDepth):
            self.depths.append(fact)

    def write(self, path: str | Path, name: str) -> None:
        """Write all events as one JSON document; times are microseconds."""
        document = {"traceEvents": self.events(name), "displayTimeUnit": "ns"}
        with write_whole(path) as temporary:
            temporary.write_text(json.dumps(document))

    def events(self, name: str) -> list[Event]:
        """All events: names first, then by time."""
        units = [*sorted({span.unit for span in self.spans}, key=_order), TRANSFERS]
        tracks = {unit: FIRST_TRACK + place for place, unit in enumerate(units)}
        timed = [
            *(_span(span, tracks[span.unit]) for span in self.spans),
            *(e for n, transfer in enumerate(self.transfers) for e in _transfer(transfer, n, tracks[TRANSFERS])),
            *self._counters(),
        ]
        return [*_names(name, tracks), *sorted(timed, key=lambda event: float(event["ts"]))]

    def _counters(self) -> Iterator[Event]:
        for step in self.steps:
            yield _counter(step.saving, step.start_ps, "%", 100 * step.saved / step.of)
        if self.steps:
            yield _counter(self.steps[-1].saving, self.steps[-1].end_ps, "%", 0)
        for depth in self.depths:
            yield _counter(depth.queue, depth.at_ps, "places", depth.depth)
        if self.transfers:
            yield from self._transfer_counters()

    def _transfer_counters(self) -> Iterator[Event]:
        """How many transfers are under way, and their bandwidth: each one's bytes spread evenly over its time."""
        starts = np.array([t.start_ps for t in self.transfers], np.float64)
        ends = np.maximum([t.end_ps for t in self.transfers], starts + 1)
        rates = np.array([t.n_bytes for t in self.transfers]) / (ends - starts)
        at_ps, place = np.unique(np.concatenate([starts, ends]), return_inverse=True)
        ones = np.ones(starts.size)
        under_way = np.cumsum(np.bincount(place, np.concatenate([ones, -ones])))
        for time_ps, number in zip(at_ps.tolist(), under_way.tolist(), strict=True):
            yield _counter("DRAM transfers", time_ps, "under way", number)
        rate = np.maximum(np.cumsum(np.bincount(place, np.concatenate([rates, -rates]))), 0)
        rate[under_way == 0] = 0
        for time_ps, value in zip(*_thinned(at_ps, rate), strict=True):
            yield _counter("DRAM bandwidth", time_ps, "GB/s", 1000 * value)


def _thinned(at_ps: F64, rate: F64) -> tuple[list[float], list[float]]:
    """A curve of steps as it is, or where it has too many of them its means over equal intervals."""
    if at_ps.size <= BANDWIDTH_POINTS:
        return at_ps.tolist(), rate.tolist()
    moved = np.concatenate([[0], np.cumsum(rate[:-1] * np.diff(at_ps))])
    edges = np.linspace(at_ps[0], at_ps[-1], BANDWIDTH_POINTS)
    means = np.diff(np.interp(edges, at_ps, moved)) / np.diff(edges)
    return edges.tolist(), [*means.tolist(), 0.0]


def _order(unit: str) -> tuple[int, str]:
    """The sequencer above, the units in the order of the data, memories below."""
    ranks = {"sequencer": 0, "MU": 2, "fill": 3, "sequences": 4}
    return ranks.get(unit, 1), unit.replace("FMU", "0FMU").replace("delta", "0delta")


def _us(time_ps: float) -> float:
    return time_ps / PS_PER_US


def _span(span: Busy, track: int) -> Event:
    times = {"ts": _us(span.start_ps), "dur": _us(span.end_ps - span.start_ps)}
    return {"ph": "X", "pid": PROCESS, "tid": track, "name": span.what, "cat": "unit", **times}


def _transfer(transfer: TransferDone, number: int, track: int) -> tuple[Event, Event]:
    """Transfers overlap, so they are asynchronous events: a beginning and an end of one number.

    Viewers give each name a row of its own, so what is moved is an argument.
    """
    name = "DRAM write" if transfer.write else "DRAM read"
    same = {"pid": PROCESS, "tid": track, "cat": "DRAM", "id2": {"local": hex(number)}, "name": name}
    begin = {"ph": "b", "ts": _us(transfer.start_ps), "args": {"what": transfer.what, "bytes": transfer.n_bytes}}
    return same | begin, same | {"ph": "e", "ts": _us(transfer.end_ps)}


def _counter(name: str, at_ps: float, unit: str, value: float) -> Event:
    return {"ph": "C", "pid": PROCESS, "name": name, "ts": _us(at_ps), "args": {unit: float(value)}}


def _names(name: str, tracks: dict[str, int]) -> Iterator[Event]:
    yield {"ph": "M", "pid": PROCESS, "name": "process_name", "args": {"name": name}}
    for unit, track in tracks.items():
        yield {"ph": "M", "pid": PROCESS, "tid": track, "name": "thread_name", "args": {"name": unit}}
        yield {"ph": "M", "pid": PROCESS, "tid": track, "name": "thread_sort_index", "args": {"sort_index": track}}
