"""Errors of the machine during a sweep: an occupied path, a full disk, a lost file system."""

import errno
import os
import sqlite3
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from harness import run_sweeps_in_process
from harness_sweeps import exit_code_and_stderr

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

# Occupied paths


@pytest.mark.parametrize("name", ["", "cache"])
def test_file_in_place_of_a_folder_is_refused_before_any_work(name, grid, tmp_path, computed_policies):
    path = tmp_path / "out" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    with pytest.raises(UsageError, match=r"cannot write .*: it is not a folder"):
        run_sweep(grid, tmp_path / "out")
    assert computed_policies == [] and path.read_text() == "mine"


@pytest.mark.parametrize("name", EXPORTED)
def test_folder_in_place_of_a_table_is_refused_before_any_work(name, grid, tmp_path, computed_policies):
    (tmp_path / name).mkdir()
    with pytest.raises(UsageError, match=r"cannot write .*: it is a folder"):
        run_sweep(grid, tmp_path)
    assert computed_policies == []


@pytest.mark.parametrize("name, message", [
    ("report.html", "it is a folder"), ("figures", "it is not a folder"), ("bundled", "watched: it is not a folder"),
    ("bundled/watched", "it is not a folder"), ("bundled/losses/cache", "it is not a folder"),
])  # fmt: skip
def test_reproduce_refuses_an_occupied_output_before_any_work(name, message, tmp_path, computed_policies):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir() if "." in name else path.write_text("mine")
    with pytest.raises(UsageError, match=rf"cannot write .*{Path(name).name}.*{message}"):
        reproduce(tmp_path, quick=True, on_progress=lambda *progress: pytest.fail("works already"))
    assert computed_policies == []


@pytest.mark.parametrize("jobs", [0, -1, 10**9])
def test_reproduce_refuses_invalid_jobs_before_any_work(jobs, tmp_path):
    with pytest.raises(UsageError, match=f"jobs = {jobs}: need at"):
        reproduce(tmp_path / "out", quick=True, jobs=jobs, on_progress=lambda *progress: pytest.fail("works already"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["figures", "report.html"])
def test_report_over_an_occupied_path_is_refused(name, finished, tmp_path):
    (tmp_path / DATABASE).write_bytes(finished[0])
    path = tmp_path / name
    path.mkdir() if "." in name else path.write_text("mine")
    with pytest.raises(UsageError, match="cannot write"):
        write_report(tmp_path)


# Errors of the machine, which are no outcomes of points


NO_SPACE = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_full_disk_under_the_cache_changes_no_result(grid, finished, tmp_path, caplog, monkeypatch, computed_policies):
    def full(path, data):
        raise NO_SPACE

    with monkeypatch.context() as patch:
        patch.setattr(cache.Path, "write_bytes", full)
        results = run_sweep(grid, tmp_path).results
    pd.testing.assert_frame_equal(results, finished[1])
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 1 and "No space left on device" in messages[0] and str(tmp_path / "cache") in messages[0]
    assert list((tmp_path / "cache").iterdir()) == [] and len(computed_policies) > 2


@pytest.mark.parametrize("error", [
    NO_SPACE, OSError(errno.EMFILE, "Too many open files"), OSError(errno.EIO, "Input/output error"),
    PermissionError(errno.EACCES, "Permission denied"), MemoryError("no more"),
])  # fmt: skip
def test_point_that_meets_a_machine_error_is_left_to_do(error, grid, finished, tmp_path, monkeypatch, capsys):
    real = stages.run_compared

    def fail(workload, policy, thresholds, **options):
        if thresholds[0][0] == np.float32(0.6):
            raise error
        return real(workload, policy, thresholds, **options)

    with monkeypatch.context() as patch:
        patch.setattr(stages, "run_compared", fail)
        code, message = exit_code_and_stderr(lambda: run_sweep(grid, tmp_path), capsys)
    assert code == 1 and message.count("\n") == 1
    assert "run failed: 2 of 4 points could not be run here, and are left to do" in message and str(error) in message
    kept = read_sweep(tmp_path)
    assert kept.results["threshold"].tolist() == [0.2, 0.2] and kept.failed.empty
    assert len(pd.read_csv(tmp_path / "results.csv")) == 2
    pd.testing.assert_frame_equal(run_sweep(grid, tmp_path).results, finished[1])


def test_point_whose_network_vanished_is_left_to_do(user_files, grid, finished, tmp_path, monkeypatch):
    """A worker of a cluster may have lost the shared file system."""
    moved = tmp_path / "away"
    real = sweeps.Driver.run

    def lose(driver):
        (user_files / "net").rename(moved)
        try:
            real(driver)
        finally:
            moved.rename(user_files / "net")

    monkeypatch.setattr(sweeps.Driver, "run", lose)
    with pytest.raises(RunFailedError, match="4 of 4 points could not be run here"):
        run_sweep(grid, tmp_path / "out")
    monkeypatch.undo()
    run_sweeps_in_process(monkeypatch)
    pd.testing.assert_frame_equal(run_sweep(grid, tmp_path / "out").results, finished[1])


def test_full_disk_under_the_store_ends_the_sweep(grid, finished, tmp_path, monkeypatch, capsys):
    class Full:
        """Database that takes two outcomes and then reports a full disk."""

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
        code, message = exit_code_and_stderr(lambda: run_sweep(grid, tmp_path), capsys)
    assert code == 1 and "database or disk is full; finished points are kept" in message and message.count("\n") == 1
    assert len(read_sweep(tmp_path).results) == 2
    pd.testing.assert_frame_equal(run_sweep(grid, tmp_path).results, finished[1])


def test_file_cut_short_by_a_full_disk_is_removed(tmp_path):
    message = r"cannot write .*x\.json: No space left on device"
    with pytest.raises(RunFailedError, match=message), write_whole(tmp_path / "x.json") as path:
        path.write_text("half")
        raise NO_SPACE
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number, kind", [
    (errno.ENOSPC, RunFailedError), (errno.EDQUOT, RunFailedError), (errno.EMFILE, RunFailedError),
    (errno.EACCES, UsageError), (errno.EROFS, UsageError),
])  # fmt: skip
def test_file_that_cannot_be_created_blames_the_machine_or_the_user(number, kind, tmp_path, monkeypatch):
    def fail(*arguments):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("archsim.files.os.open", fail)
    with pytest.raises(kind, match=r"cannot write .*x\.json"), write_whole(tmp_path / "x.json"):
        pass
