"""Chrome trace events, as Perfetto and chrome://tracing read them: one track per unit."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from archsim.engine.facts import Busy, Fact
from archsim.files import write_whole

_PS_PER_US = 1_000_000


@dataclass
class Timeline:
    """A listener that turns busy spans into complete events; times are microseconds."""

    events: list[dict[str, Any]] = field(default_factory=list)
    _tracks: dict[str, int] = field(default_factory=dict)

    def __call__(self, fact: Fact) -> None:
        """Record a span."""
        if isinstance(fact, Busy):
            self.events.append(
                {
                    "ph": "X",
                    "pid": 0,
                    "tid": self._track(fact.unit),
                    "name": fact.what,
                    "cat": "busy",
                    "ts": fact.start_ps / _PS_PER_US,
                    "dur": (fact.end_ps - fact.start_ps) / _PS_PER_US,
                }
            )

    def write(self, path: str | Path, name: str) -> None:
        """Write all events as one JSON document."""
        with write_whole(path) as temporary:
            temporary.write_text(json.dumps({"traceEvents": self._named(name), "displayTimeUnit": "ns"}))

    def _track(self, unit: str) -> int:
        return self._tracks.setdefault(unit, len(self._tracks))

    def _named(self, name: str) -> list[dict[str, Any]]:
        process = {"ph": "M", "pid": 0, "name": "process_name", "args": {"name": name}}
        threads = [
            {"ph": "M", "pid": 0, "tid": tid, "name": "thread_name", "args": {"name": unit}}
            for unit, tid in self._tracks.items()
        ]
        return [process, *threads, *self.events]
