"""Timeline as Chrome trace events for Perfetto and chrome://tracing: a track per unit, transfers, and counters."""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from archsim.engine.trace_events import Busy, QueueDepth, StepDone, TraceEvent, TransferDone
from archsim.files import write_whole
from archsim.sim.machines import unit_position
from archsim.sim.memory.dram import DRAM_LABEL
from archsim.sim.memory.intermediate_memory import SEQUENCES
from archsim.sim.memory.weight_buffers import FILL
from archsim.sim.sequencer import SEQUENCER
from archsim.sim.units.unit import MU, split_unit_name

PS_PER_US = 1_000_000
BANDWIDTH_POINTS = 2000
"""Maximum number of points of the bandwidth curve."""
CHUNK_EVENTS = 1 << 14
"""Events that are turned into Python objects at a time."""
PROCESS, FIRST_TRACK = 1, 10
"""Ids of the process and of the first track; viewers treat track 0 and the track with the process id specially."""
Event = dict[str, Any]
F64 = NDArray[np.float64]


class _Rows:
    """Table of whole numbers in column arrays, because row objects would take ten times the memory."""

    def __init__(self, kinds: str) -> None:
        self.columns = [array(kind) for kind in kinds]

    def add(self, *values: int) -> None:
        """Append a row."""
        for column, value in zip(self.columns, values, strict=True):
            column.append(value)

    def __getitem__(self, row: int) -> tuple[int, ...]:
        return tuple(column[row] for column in self.columns)

    def __len__(self) -> int:
        return len(self.columns[0])

    def column(self, number: int) -> NDArray[Any]:
        """Return one column as an array."""
        return np.array(self.columns[number])


class _Names:
    """Table that numbers texts and stores each once."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def __call__(self, text: str) -> int:
        return self.numbers.setdefault(text, len(self.numbers))


@dataclass(frozen=True)
class _Group:
    """Events of one kind: their times, in microseconds, and the function that makes event number i."""

    times_us: F64
    event: Callable[[int], Event]


class Timeline:
    """Listener that records spans of units, transfers of main memory, reuse and queue depths for a drawing.

    A recorded event takes about twenty bytes until it is written.
    """

    wants_spans = True
    subscribes_to = (Busy, TransferDone, StepDone, QueueDepth)

    def __init__(self) -> None:
        self.names = _Names()
        self.units: set[str] = set()
        self.spans = _Rows("qqII")
        """Columns start_ps, end_ps, unit, what."""
        self.transfers = _Rows("qqqIB")
        """Columns start_ps, end_ps, n_bytes, what, write."""
        self.steps = _Rows("qqIII")
        """Columns start_ps, end_ps, saving, saved, of."""
        self.depths = _Rows("qII")
        """Columns at_ps, queue, depth."""

    def __call__(self, event: TraceEvent) -> None:
        """Record an event."""
        if isinstance(event, Busy):
            self.units.add(event.unit)
            self.spans.add(event.start_ps, event.end_ps, self.names(event.unit), self.names(event.what))
        elif isinstance(event, TransferDone) and event.n_bytes:
            self.transfers.add(event.start_ps, event.end_ps, event.n_bytes, self.names(event.what), event.write)
        elif isinstance(event, StepDone):
            self.steps.add(event.start_ps, event.end_ps, self.names(event.saving), event.saved, event.of)
        elif isinstance(event, QueueDepth):
            self.depths.add(event.at_ps, self.names(event.queue), event.depth)

    def write(self, path: str | Path, name: str) -> None:
        """Write all events to a JSON file, with times in microseconds."""
        with write_whole(path) as temporary, temporary.open("w") as file:
            file.write('{"traceEvents": [')
            for number, event in enumerate(self.events(name)):
                file.write((", " if number else "") + json.dumps(event))
            file.write('], "displayTimeUnit": "ns"}')

    def events(self, name: str) -> Iterator[Event]:
        """Yield all events: the names of the tracks first, then the others by time."""
        units = [*sorted(self.units, key=_order), DRAM_LABEL]
        tracks = {unit: FIRST_TRACK + position for position, unit in enumerate(units)}
        yield from _names(name, tracks)
        groups = list(self._groups(tracks))
        ends = np.cumsum([group.times_us.size for group in groups])
        # A stable sort: events of equal time keep the order of the groups, and within a group that of emission.
        order = np.argsort(np.concatenate([group.times_us for group in groups]), kind="stable")
        for first in range(0, order.size, CHUNK_EVENTS):
            some = order[first : first + CHUNK_EVENTS]
            kinds = np.searchsorted(ends, some, side="right")
            for kind, number in zip(kinds.tolist(), some.tolist(), strict=True):
                group = groups[kind]
                yield group.event(number - int(ends[kind]) + group.times_us.size)

    def _groups(self, tracks: dict[str, int]) -> Iterator[_Group]:
        texts = list(self.names.numbers)

        def span(row: int) -> Event:
            start_ps, end_ps, unit, what = self.spans[row]
            return _span(start_ps, end_ps, texts[what], tracks[texts[unit]])

        def transfer(number: int) -> Event:
            """Return the begin (even numbers) or end (odd) event of a transfer."""
            start_ps, end_ps, n_bytes, what, write = self.transfers[number // 2]
            side = _transfer_end(end_ps) if number % 2 else _transfer_begin(start_ps, texts[what], n_bytes)
            return _transfer(number // 2, bool(write), tracks[DRAM_LABEL]) | side

        def step(row: int) -> Event:
            start_ps, _, saving, saved, of = self.steps[row]
            return _counter(texts[saving], start_ps, "%", 100 * saved / of)

        def depth(row: int) -> Event:
            at_ps, queue, slots = self.depths[row]
            return _counter(texts[queue], at_ps, "places", slots)

        yield _Group(_us(self.spans.column(0)), span)
        yield _Group(_us(np.stack([self.transfers.column(0), self.transfers.column(1)], axis=1).ravel()), transfer)
        yield _Group(_us(self.steps.column(0)), step)
        if len(self.steps):
            _, end_ps, saving, *_ = self.steps[len(self.steps) - 1]
            yield _Group(_us(np.array([end_ps])), lambda row: _counter(texts[saving], end_ps, "%", 0))
        yield _Group(_us(self.depths.column(0)), depth)
        if len(self.transfers):
            yield from self._transfer_counters()

    def _transfer_counters(self) -> Iterator[_Group]:
        """Yield curves of transfers in flight and of bandwidth, with the bytes of each spread evenly over its time."""
        starts = self.transfers.column(0).astype(np.float64)
        # A transfer of no duration would have an infinite rate, so each takes a picosecond at least.
        ends = np.maximum(self.transfers.column(1), starts + 1)
        rates = self.transfers.column(2) / (ends - starts)
        at_ps, position = np.unique(np.concatenate([starts, ends]), return_inverse=True)
        ones = np.ones(starts.size)
        in_flight: F64 = np.cumsum(np.bincount(position, np.concatenate([ones, -ones])), dtype=np.float64)
        yield _curve("DRAM transfers", "under way", at_ps, in_flight)
        rate = np.maximum(np.cumsum(np.bincount(position, np.concatenate([rates, -rates]))), 0)
        rate[in_flight == 0] = 0
        times_ps, values = _thinned(at_ps, rate)
        yield _curve("DRAM bandwidth", "GB/s", times_ps, 1000 * values)


def _curve(name: str, unit: str, at_ps: F64, values: F64) -> _Group:
    return _Group(_us(at_ps), lambda row: _counter(name, float(at_ps[row]), unit, float(values[row])))


def _thinned(at_ps: F64, rate: F64) -> tuple[F64, F64]:
    """Return a step curve unchanged, or its means over equal intervals if it has too many steps."""
    if at_ps.size <= BANDWIDTH_POINTS:
        return at_ps, rate
    moved = np.concatenate([[0], np.cumsum(rate[:-1] * np.diff(at_ps))])
    edges = np.linspace(at_ps[0], at_ps[-1], BANDWIDTH_POINTS)
    means = np.diff(np.interp(edges, at_ps, moved)) / np.diff(edges)
    return edges, np.append(means, 0.0)


def _order(unit: str) -> tuple[int, str, int]:
    """Return a sort key: the sequencer above, the units in the order of the data, memories below."""
    ranks = {SEQUENCER: 0, MU: 2, FILL: 3, SEQUENCES: 4}
    computation_unit, label = split_unit_name(unit)
    return ranks.get(unit, 1), computation_unit, unit_position(label)


@overload
def _us(time_ps: float) -> float: ...
@overload
def _us(time_ps: NDArray[Any]) -> F64: ...
def _us(time_ps: Any) -> Any:
    return time_ps / PS_PER_US


def _span(start_ps: int, end_ps: int, what: str, track: int) -> Event:
    times = {"ts": _us(start_ps), "dur": _us(end_ps - start_ps)}
    return {"ph": "X", "pid": PROCESS, "tid": track, "name": what, "cat": "unit", **times}


def _transfer(number: int, write: bool, track: int) -> Event:
    """Return the common fields of a transfer's two events."""
    # Transfers overlap, so they are asynchronous events: a begin and an end with the same number. Viewers give each
    # name a row of its own, so the label of a transfer is an argument and not the name.
    name = "DRAM write" if write else "DRAM read"
    return {"pid": PROCESS, "tid": track, "cat": "DRAM", "id2": {"local": hex(number)}, "name": name}


def _transfer_begin(start_ps: int, what: str, n_bytes: int) -> Event:
    return {"ph": "b", "ts": _us(start_ps), "args": {"what": what, "bytes": n_bytes}}


def _transfer_end(end_ps: int) -> Event:
    return {"ph": "e", "ts": _us(end_ps)}


def _counter(name: str, at_ps: float, unit: str, value: float) -> Event:
    return {"ph": "C", "pid": PROCESS, "name": name, "ts": _us(at_ps), "args": {unit: float(value)}}


def _names(name: str, tracks: dict[str, int]) -> Iterator[Event]:
    yield {"ph": "M", "pid": PROCESS, "name": "process_name", "args": {"name": name}}
    for unit, track in tracks.items():
        yield {"ph": "M", "pid": PROCESS, "tid": track, "name": "thread_name", "args": {"name": unit}}
        yield {"ph": "M", "pid": PROCESS, "tid": track, "name": "thread_sort_index", "args": {"sort_index": track}}
