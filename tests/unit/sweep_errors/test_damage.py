"""Damaged results of a sweep: one message, and recomputed where that is safe."""

import sqlite3
import stat
from contextlib import closing

import pandas as pd
import pytest
from harness_sweeps import exit_code_and_stderr

from archsim.errors import UsageError
from archsim.report.assemble import write_report
from archsim.sweeps.frames import read_sweep
from archsim.sweeps.grid import load_grid
from archsim.sweeps.run import left_to_do, run_sweep
from archsim.sweeps.store import DATABASE


def random_bytes(path):
    path.write_bytes(bytes(range(256)) * 64)


def truncated(path):
    path.write_bytes(path.read_bytes()[:6000])


def overwritten_in_the_middle(path):
    data = path.read_bytes()
    path.write_bytes(data[:4096] + b"\xff" * 8192 + data[12288:])


def of_another_application(path):
    path.unlink()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE bookmarks (url TEXT)")


def without_a_table(path):
    execute(path, "DROP TABLE points")


def with_other_columns(path):
    execute(path, "ALTER TABLE outcomes RENAME COLUMN record TO note")


def a_folder(path):
    path.unlink()
    path.mkdir()


def execute(path, *statements):
    with closing(sqlite3.connect(path)) as database, database:
        for statement in statements:
            database.execute(statement)


DAMAGES = [random_bytes, truncated, overwritten_in_the_middle, of_another_application, without_a_table,
           with_other_columns, a_folder]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_database_is_refused_in_one_line_and_left_alone(damage, finished, grid, tmp_path, capsys):
    path = tmp_path / DATABASE
    path.write_bytes(finished[0])
    damage(path)
    before = path.read_bytes() if path.is_file() else None
    for work in (read_sweep, write_report, lambda folder: run_sweep(grid, folder)):
        code, message = exit_code_and_stderr(lambda work=work: work(tmp_path), capsys)
        assert code == 2 and message.startswith("archsim: ") and message.count("\n") == 1
        assert str(tmp_path) in message and DATABASE in message
    assert (path.read_bytes() if path.is_file() else None) == before
    assert not (tmp_path / "results.csv").exists() and not (tmp_path / "report.html").exists()


@pytest.mark.parametrize("statement", [
    "UPDATE outcomes SET record = '{not json'",
    "UPDATE outcomes SET record = replace(record, '1', '2')",
    "UPDATE outcomes SET energy = NULL",
    "UPDATE outcomes SET utilisation = 7",
    "UPDATE outcomes SET record = X'ff00'",
    "UPDATE seals SET seal = '0' WHERE digest <> 'grid'",
    "DELETE FROM seals WHERE digest <> 'grid'",
])  # fmt: skip
def test_changed_outcome_is_refused_by_readers_and_recomputed(statement, finished, grid, tmp_path, caplog):
    path = tmp_path / DATABASE
    path.write_bytes(finished[0])
    execute(path, statement)
    with pytest.raises(UsageError, match=r"sweep\.sqlite: the outcome of point 0 is damaged; run the same sweep again"):
        read_sweep(tmp_path)
    results = run_sweep(grid, tmp_path).results
    pd.testing.assert_frame_equal(results, finished[1])
    assert ["4 outcomes are damaged" in record.getMessage() for record in caplog.records] == [True]
    assert len(read_sweep(tmp_path).results) == 4


@pytest.mark.parametrize("statement", [
    "UPDATE points SET choices = '[' WHERE position = 1",
    "UPDATE points SET choices = replace(choices, '0.6', '0.7')",
    "DELETE FROM points WHERE position = 2",
    "UPDATE about SET value = '{}'",
    "DELETE FROM about",
    "DROP TABLE seals",
])  # fmt: skip
def test_changed_grid_is_refused_by_readers_and_rewritten(statement, finished, grid, tmp_path):
    path = tmp_path / DATABASE
    path.write_bytes(finished[0])
    execute(path, statement)
    for read in (read_sweep, write_report):
        with pytest.raises(UsageError, match=r"sweep\.sqlite: .*; run the same sweep again"):
            read(tmp_path)
    run_sweep(grid, tmp_path)
    pd.testing.assert_frame_equal(read_sweep(tmp_path).results, finished[1])


def test_empty_database_is_refused_by_readers_and_started_afresh(grid, tmp_path):
    (tmp_path / DATABASE).write_bytes(b"")
    with pytest.raises(UsageError, match="not the results of a sweep"):
        read_sweep(tmp_path)
    assert len(run_sweep(grid, tmp_path).results) == 4


def test_database_held_by_another_program_is_refused(finished, grid, tmp_path):
    (tmp_path / DATABASE).write_bytes(finished[0])
    with closing(sqlite3.connect(tmp_path / DATABASE)) as held:
        held.execute("BEGIN EXCLUSIVE")
        for work in (read_sweep, lambda folder: run_sweep(grid, folder)):
            with pytest.raises(UsageError, match="another program has locked it"):
                work(tmp_path)


def test_read_only_results_can_be_read(finished, tmp_path):
    path = tmp_path / DATABASE
    path.write_bytes(finished[0])
    path.chmod(stat.S_IRUSR)
    pd.testing.assert_frame_equal(read_sweep(tmp_path).results, finished[1])
    assert path.read_bytes() == finished[0]


def test_dry_run_of_a_damaged_sweep_is_refused(grid, tmp_path):
    random_bytes(tmp_path / DATABASE)
    with pytest.raises(UsageError, match="not the results of a sweep, or damaged"):
        left_to_do(load_grid(grid)[0], tmp_path)


def test_lock_file_that_is_no_database_is_refused(grid, tmp_path):
    random_bytes(tmp_path / "driver.lock")
    with pytest.raises(UsageError, match="not the lock of a sweep"):
        run_sweep(grid, tmp_path)
