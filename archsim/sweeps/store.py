"""The results of a sweep on disk: one SQLite file that only the driver writes, and the tables made of it."""

from __future__ import annotations

import json
import platform
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from archsim._version import __version__
from archsim.config.load import load_arch
from archsim.errors import UsageError
from archsim.escaping import one_line, plain_lines
from archsim.sweeps.plan import Point
from archsim.sweeps.point import DEFAULT_ARCH
from archsim.sweeps.task import Done, Outcome

DATABASE = "sweep.sqlite"
LOCK = "driver.lock"
MACHINE = "machine."
"""Of keys in `about` that hold an architecture as JSON, before what the grid changes in it."""
PATIENCE_S = 600
"""How long the driver waits for somebody who reads."""
PACKAGES = ("numpy", "numba", "simpy", "pandas", "matplotlib")
SCHEMA = """
CREATE TABLE IF NOT EXISTS about (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS points (position INTEGER PRIMARY KEY, digest TEXT NOT NULL, choices TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS outcomes (
    digest TEXT PRIMARY KEY, error TEXT, record TEXT, energy TEXT, utilisation TEXT, seconds REAL NOT NULL);
"""


class Store:
    """Outcomes by digest, written one transaction each; what earlier grids found stays."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self.database = sqlite3.connect(folder / DATABASE, timeout=PATIENCE_S)
            self.database.executescript(SCHEMA)
        except sqlite3.DatabaseError as error:
            raise UsageError(f"{folder / DATABASE}: not the results of a sweep: {error}") from None

    def begin(self, points: list[Point], about: Mapping[str, str]) -> None:
        """Take down the grid's points, and the failures of those that cannot run."""
        rows = [(i, point.digest, json.dumps(point.choices)) for i, point in enumerate(points)]
        with self.database:
            self.database.execute("DELETE FROM points")
            self.database.executemany("INSERT INTO points VALUES (?, ?, ?)", rows)
            self.database.execute("DELETE FROM about")
            self.database.executemany("INSERT INTO about VALUES (?, ?)", sorted(about.items()))
        self.put({point.digest: Done(0.0, error=point.error) for point in points if point.setting is None})

    def put(self, ends: Mapping[str, Done]) -> None:
        """Keep the ends of points' tasks, by digest."""
        rows = [(digest, _text(done.error), *_parts(done.outcome), done.seconds) for digest, done in ends.items()]
        with self.database:
            self.database.executemany("INSERT OR REPLACE INTO outcomes VALUES (?, ?, ?, ?, ?, ?)", rows)

    def finished(self) -> dict[str, str | None]:
        """Digests of all points with an outcome, and the error of those that failed."""
        return dict(self.database.execute("SELECT digest, error FROM outcomes"))

    def about(self) -> dict[str, str]:
        """What was said of the sweep when it began."""
        return dict(self.database.execute("SELECT key, value FROM about ORDER BY key"))

    def rows(self) -> Iterator[tuple[int, dict[str, Any], str | None, Outcome | None]]:
        """Position, choices, error and outcome of each finished point, in the order of the grid."""
        query = """SELECT position, choices, error, record, energy, utilisation
                   FROM points JOIN outcomes USING (digest) ORDER BY position"""
        for position, choices, error, *parts in self.database.execute(query):
            outcome = Outcome(*(json.loads(part) for part in parts)) if error is None else None
            yield position, json.loads(choices), error, outcome

    def choices(self) -> list[dict[str, Any]]:
        """What each point of the grid chooses, finished or not."""
        found = self.database.execute("SELECT choices FROM points ORDER BY position")
        return [json.loads(choices) for (choices,) in found]

    def close(self) -> None:
        """Let go of the file."""
        self.database.close()


def _text(error: str | None) -> str | None:
    """A message as the database can hold it, whatever names of files are in it."""
    return None if error is None else plain_lines(error)


def _parts(outcome: Outcome | None) -> tuple[str | None, ...]:
    if outcome is None:
        return None, None, None
    return tuple(json.dumps(part) for part in (outcome.record, outcome.energy, outcome.utilisation))


def open_store(folder: Path) -> Store:
    """Open the results of a sweep to read them; UsageError for a folder that holds none."""
    if not (folder / DATABASE).is_file():
        raise UsageError(f"{folder}: holds no sweep: need a folder made by archsim sweep, with {DATABASE}")
    return Store(folder)


@contextmanager
def only_driver(folder: Path) -> Iterator[None]:
    """Hold the folder: a second driver is refused, and a killed one leaves nothing that could stand in the way."""
    try:
        lock = sqlite3.connect(folder / LOCK, timeout=0)
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.DatabaseError as error:
        if "locked" not in str(error):
            raise UsageError(f"{folder / LOCK}: not the lock of a sweep: {error}") from None
        raise UsageError(f"{folder}: another sweep is writing here: wait for it, or choose another folder") from None
    try:
        yield
    finally:
        lock.close()


def provenance(command: str, grid: str, points: list[Point]) -> dict[str, str]:
    """What a reader needs to do it again: the grid, the command, versions, machines, and digests of what was read."""
    about = {"grid": grid, "command": one_line(command), "version.archsim": __version__, "machine": platform.machine()}
    about |= {f"version.{name}": version(name) for name in PACKAGES} | {"version.python": platform.python_version()}
    settings = [point.setting for point in points if point.setting is not None]
    about |= {f"digest.network.{setting.network.name}": setting.network.digest for setting in settings}
    about |= {f"digest.trace.{setting.trace.name}": setting.trace.digest for setting in settings}
    machines = {point.choices.get("arch", DEFAULT_ARCH) for point in points if point.setting is not None}
    return about | {f"{MACHINE}{name}": load_arch(name).model_dump_json() for name in sorted(machines)}
