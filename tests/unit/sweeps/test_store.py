"""Store of a sweep: outcomes are kept, locked by one driver, and not computed again."""

import json
import math
import sqlite3

import pytest
from harness_sweeps import choices_of, count_by_kind, grid, outcomes, record_of

import archsim
from archsim.errors import UsageError
from archsim.experiment import stages
from archsim.sweeps.frames import read_sweep
from archsim.sweeps.grid import load_grid
from archsim.sweeps.run import left_to_do, run_sweep
from archsim.sweeps.store import DATABASE, only_driver


def test_second_driver_in_a_folder_is_refused(unlabelled, tmp_path, in_process):
    with only_driver(tmp_path), pytest.raises(UsageError, match="another sweep is writing here"):
        run_sweep(grid(unlabelled, threshold=[0.5]), tmp_path)
    assert len(run_sweep(grid(unlabelled, threshold=[0.5]), tmp_path).results) == 1


def test_other_database_lock_is_not_reported_as_a_second_driver(tmp_path):
    with pytest.raises(sqlite3.OperationalError), only_driver(tmp_path):
        raise sqlite3.OperationalError("database is locked")


@pytest.mark.parametrize("name", [DATABASE, "driver.lock"])
def test_folder_in_place_of_a_file_is_refused(name, unlabelled, tmp_path, in_process):
    (tmp_path / name).mkdir()
    with pytest.raises(UsageError):
        run_sweep(grid(unlabelled, threshold=[0.5]), tmp_path)


def test_reading_a_folder_without_a_sweep_is_refused(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(
            UsageError, match=r"holds no sweep: need a folder made by archsim sweep, with sweep\.sqlite"
        ):
            read_sweep(folder)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the exception holds the connection
def test_reading_a_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / DATABASE).write_text("results, of a kind, but not of this kind" * 100)
    with pytest.raises(UsageError, match="not the results of a sweep"):
        read_sweep(tmp_path)


def test_output_path_of_a_file_is_refused(unlabelled, tmp_path):
    (tmp_path / "file").write_text("")
    for output in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UsageError, match=r"cannot write .*: it is not a folder"):
            run_sweep(grid(unlabelled, threshold=[0.5]), output)


def test_points_of_an_earlier_grid_are_kept_and_not_run_again(unlabelled, tmp_path, in_process):
    run_sweep(grid(unlabelled, threshold=[0.1, 0.5]), tmp_path)
    before = outcomes(tmp_path)
    result = run_sweep(grid(unlabelled, threshold=[0.5, 0.9]), tmp_path)
    after = outcomes(tmp_path)
    assert len(before) == 2 and len(after) == 3 and all(after[digest] == row for digest, row in before.items())
    assert result.results["threshold"].tolist() == [0.5, 0.9] and result.n_points == 2
    back = run_sweep(grid(unlabelled, threshold=[0.1, 0.5]), tmp_path)
    assert back.results["threshold"].tolist() == [0.1, 0.5] and outcomes(tmp_path) == after


def test_failed_point_is_run_again_only_with_retry(unlabelled, tmp_path, in_process, monkeypatch):
    def fail(*arguments, **options):
        raise ArithmeticError("too little")

    tables = grid(unlabelled, threshold=[0.1, 0.5])
    with monkeypatch.context() as patch:
        patch.setattr(stages, "run_compared", fail)
        assert run_sweep(tables, tmp_path).results["error"].tolist() == ["ArithmeticError: too little"] * 2
    assert run_sweep(tables, tmp_path).results["error"].tolist() == ["ArithmeticError: too little"] * 2
    assert run_sweep(tables, tmp_path, retry=True).results["error"].isna().all()


def test_tasks_left_are_counted_without_making_a_folder(unlabelled, tmp_path):
    points, tasks = left_to_do(load_grid(grid(unlabelled, threshold=[0.1, 0.5, -1]))[0], tmp_path / "nowhere")
    assert len(points) == 3 and count_by_kind(tasks) == {"POINT": 2, "BASELINE": 1, "PASS": 2}
    assert list(tmp_path.iterdir()) == []


def test_finished_sweep_leaves_no_tasks(unlabelled, tmp_path, in_process):
    tables = grid(unlabelled, threshold=[0.1, 0.5, -1])
    run_sweep(tables, tmp_path)
    assert left_to_do(load_grid(tables)[0], tmp_path)[1] == []


def test_command_version_and_grid_are_stored(unlabelled, tmp_path, in_process):
    about = run_sweep(grid(unlabelled, threshold=[0.5]), tmp_path, command="archsim sweep x").about
    assert about["command"] == "archsim sweep x" and about["version.archsim"] == archsim.__version__
    (tmp_path / "again.toml").write_text(about["grid"])
    assert load_grid(tmp_path / "again.toml")[0].points() == load_grid(grid(unlabelled, threshold=[0.5]))[0].points()


def test_results_are_read_while_a_driver_holds_the_folder(unlabelled, tmp_path, in_process):
    """Results can be read while they are written; the points finished so far are returned."""
    run_sweep(grid(unlabelled, threshold=[0.5]), tmp_path)
    with only_driver(tmp_path):
        assert len(read_sweep(tmp_path).results) == 1


def test_stored_record_is_json_whose_energy_adds_up(unlabelled, tmp_path, in_process):
    run_sweep(grid(unlabelled, threshold=[0.5]), tmp_path)
    ((_, error, record, energy, uses, seconds),) = outcomes(tmp_path).values()
    assert error is None and seconds >= 0
    assert json.loads(record) == record_of(choices_of(unlabelled), tmp_path / "cache")
    assert math.isclose(
        sum(row["joules"] for row in json.loads(energy) if row["side"] == "policy"),
        json.loads(record)["energy_j"],
        rel_tol=1e-12,
    )
    assert {row["side"] for row in json.loads(uses)} == {"policy", "baseline"}
