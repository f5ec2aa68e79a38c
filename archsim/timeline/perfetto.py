"""Chrome trace events, as Perfetto and chrome://tracing read them: a track per unit, transfers, and counters."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from archsim.engine.facts import Busy, Fact, QueueDepth, StepDone, TransferDone
from archsim.files import write_whole

PS_PER_US = 1_000_000
BANDWIDTH_POINTS = 2000
"""Most points of the bandwidth's curve."""
Event = dict[str, Any]


@dataclass
class Timeline:
    """A listener that keeps what can be drawn: spans of units, transfers of main memory, reuse, queues."""

    draws = True
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
        tracks = {unit: place for place, unit in enumerate(sorted({span.unit for span in self.spans}, key=_order))}
        timed = [
            *(_span(span, tracks[span.unit]) for span in self.spans),
            *(event for number, transfer in enumerate(self.transfers) for event in _transfer(transfer, number)),
            *self._counters(),
        ]
        return [*_names(name, tracks), *sorted(timed, key=lambda event: float(event["ts"]))]

    def _counters(self) -> Iterator[Event]:
        for step in self.steps:
            yield _counter("reuse", step.start_ps, "%", 100 * step.reused / step.neurons)
        for depth in self.depths:
            yield _counter(depth.queue, depth.at_ps, "places", depth.depth)
        changes = [(t.start_ps, 1) for t in self.transfers] + [(t.end_ps, -1) for t in self.transfers]
        under_way = 0
        for at_ps, change in sorted(changes):
            under_way += change
            yield _counter("DRAM transfers under way", at_ps, "transfers", under_way)
        yield from self._bandwidth()

    def _bandwidth(self) -> Iterator[Event]:
        """Bytes of each transfer spread evenly over its time, added up, over equal intervals."""
        if not self.transfers:
            return
        starts = np.array([t.start_ps for t in self.transfers], np.float64)
        ends = np.maximum([t.end_ps for t in self.transfers], starts + 1)
        rates = np.array([t.n_bytes for t in self.transfers]) / (ends - starts)
        at_ps = np.concatenate([starts, ends])
        order = np.argsort(at_ps, kind="stable")
        rate = np.cumsum(np.concatenate([rates, -rates])[order])
        moved = np.concatenate([[0], np.cumsum(rate[:-1] * np.diff(at_ps[order]))])
        edges = np.linspace(0, ends.max(), min(BANDWIDTH_POINTS, 10 * len(self.transfers)) + 1)
        bytes_per_ps = np.diff(np.interp(edges, at_ps[order], moved)) / np.diff(edges)
        for edge_ps, value in zip(edges.tolist(), bytes_per_ps.tolist(), strict=False):
            yield _counter("DRAM bandwidth", edge_ps, "GB/s", 1000 * value)


def _order(unit: str) -> tuple[int, str]:
    """The sequencer above, the units in the order of the data, memories below."""
    ranks = {"sequencer": 0, "MU": 2, "fill": 3, "sequences": 4}
    return ranks.get(unit, 1), unit


def _us(time_ps: float) -> float:
    return time_ps / PS_PER_US


def _span(span: Busy, track: int) -> Event:
    times = {"ts": _us(span.start_ps), "dur": _us(span.end_ps - span.start_ps)}
    return {"ph": "X", "pid": 0, "tid": track, "name": span.what, "cat": "unit", **times}


def _transfer(transfer: TransferDone, number: int) -> tuple[Event, Event]:
    """Transfers overlap, so they are asynchronous events: a beginning and an end of one number."""
    same = {"pid": 0, "tid": 0, "cat": "DRAM", "id": number, "name": transfer.what}
    details = {"bytes": transfer.n_bytes, "direction": "write" if transfer.write else "read"}
    begin = {"ph": "b", "ts": _us(transfer.start_ps), "args": details}
    return same | begin, same | {"ph": "e", "ts": _us(transfer.end_ps)}


def _counter(name: str, at_ps: float, unit: str, value: float) -> Event:
    return {"ph": "C", "pid": 0, "name": name, "ts": _us(at_ps), "args": {unit: float(value)}}


def _names(name: str, tracks: dict[str, int]) -> Iterator[Event]:
    yield {"ph": "M", "pid": 0, "name": "process_name", "args": {"name": name}}
    for unit, track in tracks.items():
        yield {"ph": "M", "pid": 0, "tid": track, "name": "thread_name", "args": {"name": unit}}
        yield {"ph": "M", "pid": 0, "tid": track, "name": "thread_sort_index", "args": {"sort_index": track}}
