"""Store of a sweep's results: one SQLite file, which only the driver writes."""

from __future__ import annotations

import json
import logging
import platform
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from archsim._version import __version__
from archsim.config.load import load_arch
from archsim.errors import RunFailedError, UsageError
from archsim.escaping import one_line, plain_lines
from archsim.plugins import loaded_plugins
from archsim.sealed import digest_of
from archsim.sweeps.plan import GridPoint
from archsim.sweeps.point import DEFAULT_ARCH
from archsim.sweeps.task import Done, Outcome

DATABASE = "sweep.sqlite"
LOCK = "driver.lock"
MACHINE = "machine."
"""Prefix of keys in `about` that hold an architecture as JSON, before the changes of the grid."""
PATIENCE_S = 600
"""Seconds that the driver waits for a reader of the database."""
SHORT_PATIENCE_S = 10
"""Seconds to wait for a database that another process holds when it is opened."""
GRID = "grid"
"""Key among the seals of the tables `about` and `points`; the other seals are of outcomes, by digest."""
PACKAGES = ("numpy", "numba", "simpy", "pandas", "matplotlib")
SCHEMA = """
CREATE TABLE IF NOT EXISTS about (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS points (position INTEGER PRIMARY KEY, digest TEXT NOT NULL, choices TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS outcomes (
    digest TEXT PRIMARY KEY, error TEXT, record TEXT, energy TEXT, utilisation TEXT, seconds REAL NOT NULL);
CREATE TABLE IF NOT EXISTS seals (digest TEXT PRIMARY KEY, seal TEXT NOT NULL);
"""
TABLES, SEALS = {"about", "points", "outcomes"}, "seals"
OUTCOME = "digest, error, record, energy, utilisation, seal"
SEALED = "SELECT * FROM outcomes LEFT JOIN seals USING (digest)"
ADVICE = "move it away to begin anew, or put back a copy of it"
AGAIN = "run the same sweep again: it replaces what is damaged"
KEPT = "finished points are kept: make room, and run the same sweep again to go on"
LOG = logging.getLogger("archsim")


class Store:
    """Outcomes by digest, each written in one transaction; outcomes of earlier grids stay.

    The grid and every outcome except a failure carry a seal, so that damaged data are not taken for a result.
    """

    def __init__(self, folder: Path, *, reading: bool = False) -> None:
        """Open the database of a folder, for the driver or only to read; raise UsageError if it is not a sweep's."""
        self.folder = folder
        self.path = folder / DATABASE
        with _damage_reported(self.path):
            address = f"{self.path.absolute().as_uri()}?mode={'rw' if reading else 'rwc'}"
            self.database = sqlite3.connect(address, SHORT_PATIENCE_S, uri=True)
            try:
                self._check_tables(new=not reading)
                # A short wait to open, but a long one to write, because a reader must not make the driver lose a point.
                self.database.execute(f"PRAGMA busy_timeout = {PATIENCE_S * 1000}")
            except BaseException:
                self.close()
                raise

    def _check_tables(self, *, new: bool) -> None:
        """Make the tables of a `new` database if it has none; raise UsageError for another application's."""
        tables = {name for (name,) in self.database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not tables >= TABLES and not (new and not tables):
            lacks = ", ".join(sorted(TABLES - tables))
            raise UsageError(f"{self.path}: not the results of a sweep, it has no table {lacks}; {ADVICE}")
        if new:
            self.database.executescript(SCHEMA)
        elif SEALS not in tables:
            raise UsageError(f"{self.path}: written by an older archsim; {AGAIN}")
        # Reads no rows, but fails here, with one message, for a table that lacks a column.
        for columns in (f"{OUTCOME} FROM ({SEALED})", "position, digest, choices FROM points", "key, value FROM about"):
            self.database.execute(f"SELECT {columns} LIMIT 0")

    def begin(self, points: list[GridPoint], about: Mapping[str, str]) -> None:
        """Store the grid's points, and the errors of those that cannot run."""
        rows = [(i, point.digest, json.dumps(point.choices)) for i, point in enumerate(points)]
        with _damage_reported(self.path), self.database:
            self.database.execute("DELETE FROM points")
            self.database.executemany("INSERT INTO points VALUES (?, ?, ?)", rows)
            self.database.execute("DELETE FROM about")
            self.database.executemany("INSERT INTO about VALUES (?, ?)", sorted(about.items()))
            self.database.execute("INSERT OR REPLACE INTO seals VALUES (?, ?)", (GRID, self._digest_of_grid()))
        self.put({point.digest: Done(0.0, error=point.error) for point in points if point.config is None})

    def put(self, ends: Mapping[str, Done]) -> None:
        """Store the ends of points' tasks, by digest; raise RunFailedError if they cannot be written."""
        rows = [(digest, _text(done.error), *_parts(done.outcome), done.seconds) for digest, done in ends.items()]
        seals = [(digest, digest_of(digest, *_parts(done.outcome))) for digest, done in ends.items()]
        try:
            with self.database:
                self.database.executemany("INSERT OR REPLACE INTO outcomes VALUES (?, ?, ?, ?, ?, ?)", rows)
                self.database.executemany("INSERT OR REPLACE INTO seals VALUES (?, ?)", seals)
        except sqlite3.Error as error:
            raise RunFailedError(f"cannot write {self.path}: {error}; {KEPT}") from None

    def finished(self) -> dict[str, str | None]:
        """Return the error of each failed point, None of one that ran, by digest; damaged outcomes are left out."""
        errors: dict[str, str | None] = {}
        damaged = 0
        with _damage_reported(self.path):
            for digest, error, *parts, seal in self.database.execute(f"SELECT {OUTCOME} FROM ({SEALED})"):
                if _is_intact(digest, error, parts, seal):
                    errors[digest] = error
                else:
                    damaged += 1
        if damaged:
            LOG.warning(
                "%s: %d outcomes are damaged, or of an older archsim, so they are made again", self.path, damaged
            )
        return errors

    def about(self) -> dict[str, str]:
        """Return the provenance stored when the sweep began."""
        with _damage_reported(self.path):
            return dict(self.database.execute("SELECT key, value FROM about ORDER BY key"))

    def rows(self) -> Iterator[tuple[int, dict[str, Any], str | None, Outcome | None]]:
        """Yield position, choices, error and outcome of each finished point, in the order of the grid."""
        query = f"SELECT position, choices, {OUTCOME} FROM points JOIN ({SEALED}) USING (digest) ORDER BY position"
        with _damage_reported(self.path):
            for position, choices, digest, error, *parts, seal in self.database.execute(query):
                if not _is_intact(digest, error, parts, seal):
                    raise UsageError(f"{self.path}: the outcome of point {position} is damaged; {AGAIN}")
                outcome = Outcome(*(json.loads(part) for part in parts)) if error is None else None
                yield position, json.loads(choices), error, outcome

    def choices(self) -> list[dict[str, Any]]:
        """Return the choices of each point of the grid, finished or not; raise UsageError if the grid is damaged."""
        with _damage_reported(self.path):
            ((seal,),) = self.database.execute("SELECT max(seal) FROM seals WHERE digest = ?", (GRID,))
            if seal != self._digest_of_grid():
                raise UsageError(f"{self.path}: its copy of the grid is damaged; {AGAIN}")
            rows = self.database.execute("SELECT choices FROM points ORDER BY position")
            return [json.loads(choices) for (choices,) in rows]

    def _digest_of_grid(self) -> str:
        points = self.database.execute("SELECT position, digest, choices FROM points ORDER BY position")
        about = self.database.execute("SELECT key, value FROM about ORDER BY key")
        return digest_of(*(str(part) for rows in (points, about) for row in rows for part in row))

    def close(self) -> None:
        """Close the database."""
        self.database.close()


def _text(error: str | None) -> str | None:
    """Return a message in characters that the database can hold, for any file names in it."""
    return None if error is None else plain_lines(error)


def _parts(outcome: Outcome | None) -> tuple[str | None, ...]:
    if outcome is None:
        return None, None, None
    return tuple(json.dumps(part) for part in (outcome.record, outcome.energy, outcome.utilisation))


def _is_intact(digest: Any, error: Any, parts: list[Any], seal: Any) -> bool:
    """Return whether an outcome is undamaged; a failure has no figures to check."""
    return error is not None or (all(isinstance(part, str) for part in parts) and seal == digest_of(digest, *parts))


@contextmanager
def _damage_reported(path: Path) -> Iterator[None]:
    """Turn an error of SQLite into one message that names the file and what to do."""
    try:
        yield
    except sqlite3.Error as error:
        kind = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the primary code; higher bits detail it
        if kind in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_NOMEM):
            raise RunFailedError(f"cannot write {path}: {error}; {KEPT}") from None
        if kind in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise UsageError(f"{path}: another program has locked it ({error}): wait for it, or end it") from None
        if kind in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
            raise UsageError(f"{path}: {error}: need a file that can be read and written") from None
        raise UsageError(f"{path}: not the results of a sweep, or damaged: {error}; {ADVICE}") from None
    except (UnicodeError, ValueError, TypeError) as error:
        raise UsageError(f"{path}: not the results of a sweep, or damaged: {error}; {ADVICE}") from None


def open_store(folder: Path) -> Store:
    """Return the store of a sweep, open for reading; raise UsageError for a folder that holds none."""
    if not (folder / DATABASE).is_file():
        raise UsageError(f"{folder}: holds no sweep: need a folder made by archsim sweep, with {DATABASE}")
    return Store(folder, reading=True)


@contextmanager
def only_driver(folder: Path) -> Iterator[None]:
    """Hold a lock on the folder; raise UsageError if another driver holds it.

    The lock is SQLite's, which the system releases with the process, so that a killed driver blocks nobody.
    """
    with ExitStack() as stack:
        try:
            lock = stack.enter_context(closing(sqlite3.connect(folder / LOCK, timeout=0)))
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.DatabaseError as error:
            if "locked" not in str(error):
                raise UsageError(f"{folder / LOCK}: not the lock of a sweep: {error}; remove it") from None
            busy = "another sweep is writing here: wait for it, or choose another folder"
            raise UsageError(f"{folder}: {busy}") from None
        yield


def provenance(command: str, grid: str, points: list[GridPoint]) -> dict[str, str]:
    """Return what a reader needs to repeat a sweep: grid, command, versions, machines, and digests of the inputs."""
    about = {"grid": grid, "command": one_line(command), "version.archsim": __version__, "machine": platform.machine()}
    about |= {f"version.{name}": version(name) for name in PACKAGES} | {"version.python": platform.python_version()}
    configs = [point.config for point in points if point.config is not None]
    about |= {f"digest.network.{config.network.name}": config.network.digest for config in configs}
    about |= {f"digest.trace.{config.trace.name}": config.trace.digest for config in configs}
    about |= {f"digest.plugin.{plugin.path}": plugin.digest for plugin in loaded_plugins()}
    machines = {point.choices.get("arch", DEFAULT_ARCH) for point in points if point.config is not None}
    return about | {f"{MACHINE}{name}": load_arch(name).model_dump_json() for name in sorted(machines)}
