"""Errors of the machine during a sweep: something in the way, a full disk, a lost file system."""

import errno
import os
import sqlite3
from contextlib import nullcontext
from pathlib import Path

import pandas as pd
import pytest
from harness import HerePool
from harness_sweeps import said

from archsim.errors import RunFailedError, UsageError
from archsim.experiment import stages
from archsim.files import write_whole
from archsim.report.assemble import write_report
from archsim.reproduce.run import reproduce
from archsim.sweeps import cache
from archsim.sweeps import run as sweeps
from archsim.sweeps import store as stores
from archsim.sweeps.frames import EXPORTED, read_sweep
from archsim.sweeps.run import run_sweep
from archsim.sweeps.store import DATABASE

# Something in the way


@pytest.mark.parametrize("name", ["", "cache"])
def test_a_file_where_a_folder_should_be_is_refused(name, grid, tmp_path, passes):
    path = tmp_path / "out" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    with pytest.raises(UsageError, match=r"cannot write .*: it is not a folder"):
        run_sweep(grid, tmp_path / "out")
    assert passes == [] and path.read_text() == "mine"


@pytest.mark.parametrize("name", EXPORTED)
def test_a_folder_in_a_tables_place_is_told_before_any_work(name, grid, tmp_path, passes):
    (tmp_path / name).mkdir()
    with pytest.raises(UsageError, match=r"cannot write .*: it is a folder"):
        run_sweep(grid, tmp_path)
    assert passes == []


@pytest.mark.parametrize("name, message", [
    ("report.html", "it is a folder"), ("figures", "it is not a folder"), ("bundled", "watched: it is not a folder"),
    ("bundled/watched", "it is not a folder"), ("bundled/losses/cache", "it is not a folder"),
])  # fmt: skip
def test_reproduce_tells_before_any_work_what_is_in_its_way(name, message, tmp_path, passes):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir() if "." in name else path.write_text("mine")
    with pytest.raises(UsageError, match=rf"cannot write .*{Path(name).name}.*{message}"):
        reproduce(tmp_path, quick=True, on_progress=lambda *progress: pytest.fail("works already"))
    assert passes == []


@pytest.mark.parametrize("jobs", [0, -1, 10**9])
def test_reproduce_refuses_jobs_before_any_work(jobs, tmp_path):
    with pytest.raises(UsageError, match=f"jobs = {jobs}: need at"):
        reproduce(tmp_path / "out", quick=True, jobs=jobs, on_progress=lambda *progress: pytest.fail("works already"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["figures", "report.html"])
def test_a_report_with_something_in_its_way_is_one_message(name, finished, tmp_path):
    (tmp_path / DATABASE).write_bytes(finished[0])
    path = tmp_path / name
    path.mkdir() if "." in name else path.write_text("mine")
    with pytest.raises(UsageError, match="cannot write"):
        write_report(tmp_path)


# Errors of the machine are no outcomes


NO_SPACE = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_cache_on_a_full_disk_costs_time_only(grid, finished, tmp_path, caplog, monkeypatch, passes):
    def full(path, data):
        raise NO_SPACE

    with monkeypatch.context() as patch:
        patch.setattr(cache.Path, "write_bytes", full)
        results = run_sweep(grid, tmp_path).results
    pd.testing.assert_frame_equal(results, finished[1])
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 1 and "No space left on device" in told[0] and str(tmp_path / "cache") in told[0]
    assert list((tmp_path / "cache").iterdir()) == [] and len(passes) > 2


@pytest.mark.parametrize("error", [
    NO_SPACE, OSError(errno.EMFILE, "Too many open files"), OSError(errno.EIO, "Input/output error"),
    PermissionError(errno.EACCES, "Permission denied"), MemoryError("no more"),
])  # fmt: skip
def test_what_the_machine_cannot_do_is_left_to_do(error, grid, finished, tmp_path, monkeypatch, capsys):
    real, calls = stages.run_compared, []

    def fail(workload, policy, threshold, **options):
        calls.append(threshold)
        if threshold == 0.6:
            raise error
        return real(workload, policy, threshold, **options)

    with monkeypatch.context() as patch:
        patch.setattr(stages, "run_compared", fail)
        code, message = said(lambda: run_sweep(grid, tmp_path), capsys)
    assert code == 1 and message.count("\n") == 1
    assert "run failed: 2 of 4 points could not be run here, and are left to do" in message and str(error) in message
    kept = read_sweep(tmp_path)
    assert kept.results["threshold"].tolist() == [0.2, 0.2] and kept.failed.empty
    assert len(pd.read_csv(tmp_path / "results.csv")) == 2
    pd.testing.assert_frame_equal(run_sweep(grid, tmp_path).results, finished[1])


def test_a_worker_that_cannot_find_the_network_is_no_outcome(own, grid, finished, tmp_path, monkeypatch):
    """As on a cluster whose worker has lost the shared file system."""
    moved = tmp_path / "away"
    real = sweeps.Driver.run

    def lose(driver):
        (own / "net").rename(moved)
        try:
            real(driver)
        finally:
            moved.rename(own / "net")

    monkeypatch.setattr(sweeps.Driver, "run", lose)
    with pytest.raises(RunFailedError, match="4 of 4 points could not be run here"):
        run_sweep(grid, tmp_path / "out")
    monkeypatch.undo()
    monkeypatch.setattr(sweeps, "pool_for", lambda *choice, **options: nullcontext(HerePool()))
    pd.testing.assert_frame_equal(run_sweep(grid, tmp_path / "out").results, finished[1])


def test_results_that_cannot_be_stored_end_the_sweep(grid, finished, tmp_path, monkeypatch, capsys):
    class Full:
        """A database that takes two outcomes."""

        def __init__(self, database):
            self.database, self.left = database, 2

        def __getattr__(self, name):
            return getattr(self.database, name)

        def __enter__(self):
            return self.database.__enter__()

        def __exit__(self, *error):
            return self.database.__exit__(*error)

        def executemany(self, statement, rows):
            rows = list(rows)
            if "INTO outcomes" in statement and rows:
                self.left -= 1
                if self.left < 0:
                    raise sqlite3.OperationalError("database or disk is full")
            return self.database.executemany(statement, rows)

    real = sqlite3.connect

    def connect(path, *options, **more):
        database = real(path, *options, **more)
        return Full(database) if DATABASE in str(path) else database

    with monkeypatch.context() as patch:
        patch.setattr(stores.sqlite3, "connect", connect)
        code, message = said(lambda: run_sweep(grid, tmp_path), capsys)
    assert code == 1 and "database or disk is full; finished points are kept" in message and message.count("\n") == 1
    assert len(read_sweep(tmp_path).results) == 2
    pd.testing.assert_frame_equal(run_sweep(grid, tmp_path).results, finished[1])


def test_a_file_cut_short_by_a_full_disk_is_not_left(tmp_path):
    message = r"cannot write .*x\.json: No space left on device"
    with pytest.raises(RunFailedError, match=message), write_whole(tmp_path / "x.json") as path:
        path.write_text("half")
        raise NO_SPACE
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number, kind", [
    (errno.ENOSPC, RunFailedError), (errno.EDQUOT, RunFailedError), (errno.EMFILE, RunFailedError),
    (errno.EACCES, UsageError), (errno.EROFS, UsageError),
])  # fmt: skip
def test_a_file_that_cannot_be_begun_says_who_is_at_fault(number, kind, tmp_path, monkeypatch):
    def fail(*arguments):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("archsim.files.os.open", fail)
    with pytest.raises(kind, match=r"cannot write .*x\.json"), write_whole(tmp_path / "x.json"):
        pass
