"""`archsim sweep` as a user runs it: files, exit codes and messages."""

import csv
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing

import pandas as pd
import pytest
from harness_processes import POINTS, TIMEOUT_S, exported, outcomes, started_sweep, sweep, wait_for_points, write_grid

from archsim.sweeps.store import only_driver

CONTRACT = """network trace arch policy threshold precision detail sequences steps neurons_total neurons_reused
    reuse_fraction macs_total macs_avoided_fraction cycles time_s baseline_cycles speedup energy_j baseline_energy_j
    energy_saving energy_scratchpad_j energy_operations_j energy_dram_j energy_memo_j energy_static_j dram_bytes
    area_mm2 metric metric_baseline metric_value metric_loss events wall_s archsim_version digest""".split()


def test_results_have_a_row_per_point_and_the_columns_of_the_contract(undisturbed):
    with (undisturbed / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == POINTS and {*CONTRACT, "point", "error", "arch.fmu.latency_cycles"} <= set(rows[0])
    chosen = [(float(row["threshold"]), int(row["arch.fmu.latency_cycles"])) for row in rows]
    assert chosen == [(theta, cycles) for theta in (0.1, 0.2, 0.5, 1.0) for cycles in (3, 5, 8, 9)]
    assert not any(row["error"] for row in rows) and all(float(row["speedup"]) > 0 for row in rows)
    frame = pd.read_parquet(undisturbed / "results.parquet")
    assert list(frame.columns) == list(rows[0]) and frame["cycles"].dtype == "Int64"
    assert set(exported(undisturbed)) == {
        f"{name}.{kind}" for name in ("results", "energy", "utilisation") for kind in ("csv", "parquet")
    }


def test_hardware_axis_shares_passes_and_baseline(undisturbed):
    """16 points: one pass for each of 4 thresholds, and one baseline."""
    names = sorted(path.name.partition(".")[2] for path in (undisturbed / "cache").iterdir())
    assert names == ["baseline.json", *["pass.safetensors"] * 4]


def test_finished_sweep_run_again_recomputes_nothing(user_files, undisturbed):
    before, bytes_before = outcomes(undisturbed), exported(undisturbed)
    done = sweep(user_files / "grid.toml", "-o", undisturbed)
    assert done.returncode == 0 and "16 of 16 points" in done.stdout, done.stderr
    assert outcomes(undisturbed) == before and exported(undisturbed) == bytes_before


@pytest.mark.slow
def test_one_process_exports_the_same_bytes_as_two(user_files, undisturbed, tmp_path):
    assert sweep(user_files / "grid.toml", "-o", tmp_path / "one", "--jobs", 1).returncode == 0
    assert exported(tmp_path / "one") == exported(undisturbed)


def test_dry_run_prints_points_and_time_and_writes_nothing(user_files, tmp_path):
    done = sweep(user_files / "grid.toml", "-o", tmp_path / "out", "--dry-run", "--jobs", 3, cwd=tmp_path)
    assert done.returncode == 0 and list(tmp_path.iterdir()) == [], done.stderr
    for words in ("16 points: 16 to run", "4 inference runs, 1 baselines", "with 3 processes", "threshold"):
        assert words in done.stdout
    assert len([line for line in done.stdout.splitlines() if "trace.npz" in line]) == POINTS


def test_dry_run_of_a_finished_sweep_has_no_points_to_run(user_files, undisturbed):
    before = {path: path.stat().st_mtime_ns for path in undisturbed.rglob("*")}
    done = sweep(user_files / "grid.toml", "-o", undisturbed, "--dry-run")
    assert done.returncode == 0 and "16 points: 0 to run" in done.stdout, done.stderr
    assert {path: path.stat().st_mtime_ns for path in undisturbed.rglob("*")} == before


@pytest.mark.parametrize("old, new, message", [
    ("threshold =", "treshold =", "unknown key 'treshold', did you mean 'threshold'"),
    ("[0.5]", "[-1]", "none of 2 points can run"),
    ("/net", "/nett", "nett"),
    ("limit = 1", "limit = ", "not TOML: Invalid value"),
])  # fmt: skip
@pytest.mark.parametrize("more", [[], pytest.param(["--dry-run"], marks=pytest.mark.slow)])
def test_invalid_grid_exits_with_2_and_one_message(old, new, message, more, user_files, tmp_path):
    grid = tmp_path / "grid.toml"
    grid.write_text((user_files / "quick.toml").read_text().replace(old, new, 1))
    done = sweep(grid, "-o", tmp_path / "out", *more)
    assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr
    assert done.stdout == "" and list(tmp_path.iterdir()) == [grid]


def test_missing_grid_file_exits_with_2_and_makes_no_folder(tmp_path):
    done = sweep("nowhere.toml", "-o", "out", cwd=tmp_path)
    assert done.returncode == 2 and "nowhere.toml: no such file" in done.stderr and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [["--jobs", "0"], ["--dask", "nowhere"]])
def test_invalid_options_exit_with_2_and_write_nothing(options, user_files, tmp_path):
    done = sweep(user_files / "quick.toml", "-o", tmp_path / "out", *options)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_output_path_of_a_file_exits_with_2(user_files, tmp_path):
    (tmp_path / "file").write_text("mine")
    done = sweep(user_files / "quick.toml", "-o", tmp_path / "file")
    assert done.returncode == 2 and "it is not a folder" in done.stderr and (tmp_path / "file").read_text() == "mine"


def test_failed_point_is_reported_and_the_others_finish(user_files, tmp_path):
    grid = write_grid(tmp_path / "grid.toml", user_files, "limit = 1", threshold=[0.5, -1], latency=[3, 5])
    done = sweep(grid, "-o", tmp_path / "out")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "point 2 failed: threshold = -1: need a number >= 0" in done.stdout and "4 of 4 points" in done.stdout
    results = pd.read_csv(tmp_path / "out" / "results.csv")
    assert results["error"].isna().tolist() == [True, True, False, False]


def test_failed_point_is_run_again_with_retry(user_files, undisturbed, tmp_path):
    """The store is edited as if the point's process had died of a cause that is gone now."""
    out = tmp_path / "out"
    shutil.copytree(undisturbed, out)
    with closing(sqlite3.connect(out / "sweep.sqlite")) as database, database:
        database.execute(
            "UPDATE outcomes SET error = 'died', record = NULL, energy = NULL, utilisation = NULL "
            "WHERE digest = (SELECT digest FROM points WHERE position = 5)"
        )
    done = sweep(user_files / "grid.toml", "-o", out)
    assert done.returncode == 1 and "point 5 failed: died" in done.stdout
    done = sweep(user_files / "grid.toml", "-o", out, "--retry")
    assert done.returncode == 0 and exported(out) == exported(undisturbed), done.stdout


def test_second_driver_exits_with_2(user_files, undisturbed):
    with only_driver(undisturbed):
        done = sweep(user_files / "grid.toml", "-o", undisturbed)
    assert done.returncode == 2 and "another sweep is writing here" in done.stderr and "Traceback" not in done.stderr


def test_relative_paths_and_letters_beyond_ascii_work(user_files, tmp_path):
    (tmp_path / "Größe θ").mkdir()
    shutil.copytree(user_files / "net", tmp_path / "Größe θ" / "net")
    shutil.copy(user_files / "trace.npz", tmp_path / "Größe θ" / "trace.npz")
    write_grid(tmp_path / "grid.toml", "Größe θ", "limit = 1", threshold=[0.5, [0.2]], latency=[3])
    done = sweep("grid.toml", "-o", "aus/gabe", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    results = pd.read_csv(tmp_path / "aus" / "gabe" / "results.csv")
    assert results["trace"].tolist() == ["Größe θ/trace.npz"] * 2 and results["threshold"].tolist() == ["0.5", "[0.2]"]


@pytest.mark.slow
def test_results_can_be_read_during_a_sweep(user_files, tmp_path):
    out = tmp_path / "out"
    with started_sweep(user_files / "grid.toml", "-o", out, "--jobs", 2) as process:
        wait_for_points(process, out)
        look = "import archsim, sys; r = archsim.read_sweep(sys.argv[1]); print(len(r.results), r.n_points)"
        seen = subprocess.run(
            [sys.executable, "-P", "-c", look, str(out)], capture_output=True, text=True, check=True, timeout=TIMEOUT_S
        )
        assert process.wait(TIMEOUT_S) == 0, process.log.read_text()
    n_finished, n_points = map(int, seen.stdout.split())
    assert 1 <= n_finished <= n_points == POINTS


SCRIPT = """
import sys, archsim
fixed = {"network": sys.argv[1] + "/net", "trace": sys.argv[1] + "/trace.npz", "limit": 1}
found = archsim.run_sweep({"axes": {"threshold": [0.5]}, "fixed": fixed}, sys.argv[2], jobs=1)
sys.exit(int(found.results["error"].notna().sum()))
"""


@pytest.mark.parametrize("from_file", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_script_without_main_guard_may_run_a_sweep(from_file, user_files, tmp_path):
    """The script lacks `if __name__ == "__main__"` and may come from standard input."""
    (tmp_path / "script.py").write_text(SCRIPT)
    name = tmp_path / "script.py" if from_file else "-"
    command = [sys.executable, "-P", str(name), str(user_files), str(tmp_path / "out")]
    done = subprocess.run(command, input=SCRIPT, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
    assert done.returncode == 0, done.stderr
