"""Sweeps as a user runs them: files, exit codes, and the same bytes whoever does the work and however it was stopped."""

import csv
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from harness import write_own

from archsim.sweeps.store import only_driver

COMMAND = [sys.executable, "-P", "-c", "from archsim.cli.main import main; main()"]  # -P: the installed package
WIDE = os.environ | {"COLUMNS": "200"}
LIMIT_S = 120
"""Far more than anything here takes: what is not done by then hangs."""
POINTS = 16
CONTRACT = """network trace arch policy threshold precision detail sequences steps neurons_total neurons_reused
    reuse_fraction macs_total macs_avoided_fraction cycles time_s baseline_cycles speedup energy_j baseline_energy_j
    energy_saving energy_scratchpad_j energy_operations_j energy_dram_j energy_memo_j energy_static_j dram_bytes
    area_mm2 metric metric_baseline metric_value metric_loss events wall_s archsim_version digest""".split()

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")


def sweep(*arguments, cwd=None):
    """Run `archsim sweep` to its end in a process of its own."""
    command = [*COMMAND, "sweep", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=WIDE, check=False, timeout=LIMIT_S)


@contextmanager
def started(*arguments, cwd=None):
    """A sweep that runs; killed at the end of the block if it still does. Its output is in `process.said`."""
    # A shell starts what runs in its background deaf to Ctrl-C, and all that this starts in turn.
    hearing = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    command = [*COMMAND, "sweep", *map(str, arguments)]
    output = Path(arguments[arguments.index("-o") + 1])
    said = output.parent / f"{output.name}.said"
    with said.open("w") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=file, cwd=cwd, env=WIDE, preexec_fn=hearing, start_new_session=True
        )
    process.said = said
    with process:
        try:
            yield process
        finally:
            process.kill()


def until(condition, what):
    """Wait for a condition, as long as it may reasonably take."""
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end, f"waited {LIMIT_S} s for {what}"
        time.sleep(0.01)


def rows_of(folder, query):
    """Rows of a sweep's database, none where there is none yet."""
    try:
        with closing(sqlite3.connect(f"file:{folder / 'sweep.sqlite'}?mode=ro", uri=True)) as database:
            return database.execute(query).fetchall()
    except sqlite3.OperationalError:
        return []


def outcomes(folder):
    return rows_of(folder, "SELECT digest, error, seconds FROM outcomes ORDER BY digest")


def mid_run(process, folder, points=1):
    """Wait until some points are finished and others are not."""
    until(lambda: len(outcomes(folder)) >= points or process.poll() is not None, f"{points} points")
    assert process.poll() is None and len(outcomes(folder)) < POINTS, process.said.read_text()


def exported(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".csv", ".parquet")}


def state(pid):
    """(letter of the state, parent) of a process; None where there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return fields[0], int(fields[1])


def alive(pid):
    found = state(pid)
    return found is not None and found[0] != "Z"


def workers_of(process):
    """Worker processes of a local sweep."""
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    children = [pid for pid in pids if (found := state(pid)) and found[1] == process.pid]
    return [pid for pid in children if b"spawn_main" in command_line(pid)]


def command_line(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A folder with a network, a trace, and a grid of a few points of a fraction of a second each."""
    folder = write_own(tmp_path_factory.mktemp("own"), lengths=(30, 3, 12))
    write_grid(folder / "grid.toml", folder, 'detail = "neuron"')
    write_grid(folder / "quick.toml", folder, "limit = 1", threshold=[0.5], latency=[3, 5])
    return folder


def write_grid(path, folder, more="", threshold=(0.1, 0.2, 0.5, 1.0), latency=(3, 5, 8, 9)):
    path.write_text(
        f'[axes]\nthreshold = {list(threshold)}\n"arch.fmu.latency_cycles" = {list(latency)}\n'
        f'[fixed]\nnetwork = "{folder}/net"\ntrace = "{folder}/trace.npz"\n{more}\n'
    )
    return path


@pytest.fixture(scope="module")
def undisturbed(own):
    """The folder of a sweep that nothing happened to."""
    done = sweep(own / "grid.toml", "-o", own / "undisturbed", "--jobs", 2)
    assert done.returncode == 0 and "16 of 16 points" in done.stdout, done.stderr
    return own / "undisturbed"


def test_a_row_a_point_with_the_columns_of_the_contract(undisturbed):
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


def test_hardware_costs_no_arithmetic(undisturbed):
    """16 points: a pass for each of 4 thresholds, and one baseline."""
    names = sorted(path.name.partition(".")[2] for path in (undisturbed / "cache").iterdir())
    assert names == ["baseline.json", *["pass.safetensors"] * 4]


def test_run_again_does_nothing_twice(own, undisturbed):
    before, bytes_before = outcomes(undisturbed), exported(undisturbed)
    done = sweep(own / "grid.toml", "-o", undisturbed)
    assert done.returncode == 0 and "16 of 16 points" in done.stdout, done.stderr
    assert outcomes(undisturbed) == before and exported(undisturbed) == bytes_before


@pytest.mark.slow
def test_one_process_writes_the_same_bytes(own, undisturbed, tmp_path):
    assert sweep(own / "grid.toml", "-o", tmp_path / "one", "--jobs", 1).returncode == 0
    assert exported(tmp_path / "one") == exported(undisturbed)


def test_dry_run_prints_points_and_time_and_writes_nothing(own, tmp_path):
    done = sweep(own / "grid.toml", "-o", tmp_path / "out", "--dry-run", "--jobs", 3, cwd=tmp_path)
    assert done.returncode == 0 and list(tmp_path.iterdir()) == [], done.stderr
    for words in ("16 points: 16 to run", "4 functional passes, 1 baselines", "with 3 processes", "threshold"):
        assert words in done.stdout
    assert len([line for line in done.stdout.splitlines() if "trace.npz" in line]) == POINTS


def test_dry_run_of_a_finished_sweep_has_nothing_to_do(own, undisturbed):
    before = {path: path.stat().st_mtime_ns for path in undisturbed.rglob("*")}
    done = sweep(own / "grid.toml", "-o", undisturbed, "--dry-run")
    assert done.returncode == 0 and "16 points: 0 to run" in done.stdout, done.stderr
    assert {path: path.stat().st_mtime_ns for path in undisturbed.rglob("*")} == before


@pytest.mark.parametrize("old, new, message", [
    ("threshold =", "treshold =", "unknown key 'treshold', did you mean 'threshold'"),
    ("[0.5]", "[-1]", "none of 2 points can run"),
    ("/net", "/nett", "nett"),
    ("limit = 1", "limit = ", "not TOML: Invalid value"),
])  # fmt: skip
@pytest.mark.parametrize("more", [[], pytest.param(["--dry-run"], marks=pytest.mark.slow)])
def test_a_bad_grid_is_one_message_and_exit_code_two(old, new, message, more, own, tmp_path):
    grid = tmp_path / "grid.toml"
    grid.write_text((own / "quick.toml").read_text().replace(old, new, 1))
    done = sweep(grid, "-o", tmp_path / "out", *more)
    assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr
    assert done.stdout == "" and list(tmp_path.iterdir()) == [grid]


def test_a_grid_that_is_not_there_makes_no_folder(tmp_path):
    done = sweep("nowhere.toml", "-o", "out", cwd=tmp_path)
    assert done.returncode == 2 and "nowhere.toml: no such file" in done.stderr and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [["--jobs", "0"], ["--dask", "nowhere"]])
def test_bad_options_write_nothing(options, own, tmp_path):
    done = sweep(own / "quick.toml", "-o", tmp_path / "out", *options)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_is_a_file_is_refused(own, tmp_path):
    (tmp_path / "file").write_text("mine")
    done = sweep(own / "quick.toml", "-o", tmp_path / "file")
    assert done.returncode == 2 and "it is not a folder" in done.stderr and (tmp_path / "file").read_text() == "mine"


def test_a_point_that_fails_is_told_and_the_others_are_done(own, tmp_path):
    grid = write_grid(tmp_path / "grid.toml", own, "limit = 1", threshold=[0.5, -1], latency=[3, 5])
    done = sweep(grid, "-o", tmp_path / "out")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "point 2 failed: threshold = -1: need a number >= 0" in done.stdout and "4 of 4 points" in done.stdout
    results = pd.read_csv(tmp_path / "out" / "results.csv")
    assert results["error"].isna().tolist() == [True, True, False, False]


def test_what_failed_is_run_again_if_asked_for(own, undisturbed, tmp_path):
    """As if a process had died of something that is gone now."""
    out = tmp_path / "out"
    shutil.copytree(undisturbed, out)
    with closing(sqlite3.connect(out / "sweep.sqlite")) as database, database:
        database.execute(
            "UPDATE outcomes SET error = 'died', record = NULL, energy = NULL, utilisation = NULL "
            "WHERE digest = (SELECT digest FROM points WHERE position = 5)"
        )
    done = sweep(own / "grid.toml", "-o", out)
    assert done.returncode == 1 and "point 5 failed: died" in done.stdout
    done = sweep(own / "grid.toml", "-o", out, "--retry")
    assert done.returncode == 0 and exported(out) == exported(undisturbed), done.stdout


def test_a_second_driver_is_refused(own, undisturbed):
    with only_driver(undisturbed):
        done = sweep(own / "grid.toml", "-o", undisturbed)
    assert done.returncode == 2 and "another sweep is writing here" in done.stderr and "Traceback" not in done.stderr


def test_paths_may_be_relative_and_of_any_letters(own, tmp_path):
    (tmp_path / "Größe θ").mkdir()
    shutil.copytree(own / "net", tmp_path / "Größe θ" / "net")
    shutil.copy(own / "trace.npz", tmp_path / "Größe θ" / "trace.npz")
    write_grid(tmp_path / "grid.toml", "Größe θ", "limit = 1", threshold=[0.5, [0.2]], latency=[3])
    done = sweep("grid.toml", "-o", "aus/gabe", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    results = pd.read_csv(tmp_path / "aus" / "gabe" / "results.csv")
    assert results["trace"].tolist() == ["Größe θ/trace.npz"] * 2 and results["threshold"].tolist() == ["0.5", "[0.2]"]


@pytest.mark.slow
def test_results_can_be_read_while_it_runs(own, tmp_path):
    out = tmp_path / "out"
    with started(own / "grid.toml", "-o", out, "--jobs", 2) as process:
        mid_run(process, out)
        look = "import archsim, sys; r = archsim.read_sweep(sys.argv[1]); print(len(r.results), r.n_points)"
        seen = subprocess.run(
            [sys.executable, "-P", "-c", look, str(out)], capture_output=True, text=True, check=True, timeout=LIMIT_S
        )
        assert process.wait(LIMIT_S) == 0, process.said.read_text()
    n_finished, n_points = map(int, seen.stdout.split())
    assert 1 <= n_finished <= n_points == POINTS


SCRIPT = """
import sys, archsim
fixed = {"network": sys.argv[1] + "/net", "trace": sys.argv[1] + "/trace.npz", "limit": 1}
found = archsim.run_sweep({"axes": {"threshold": [0.5]}, "fixed": fixed}, sys.argv[2], jobs=1)
sys.exit(int(found.results["error"].notna().sum()))
"""


@pytest.mark.parametrize("from_file", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_plain_script_may_run_a_sweep(from_file, own, tmp_path):
    """Without `if __name__ == "__main__"`, and from standard input."""
    (tmp_path / "script.py").write_text(SCRIPT)
    name = tmp_path / "script.py" if from_file else "-"
    command = [sys.executable, "-P", str(name), str(own), str(tmp_path / "out")]
    done = subprocess.run(command, input=SCRIPT, capture_output=True, text=True, check=False, timeout=LIMIT_S)
    assert done.returncode == 0, done.stderr


# Stopped and taken up again


def finish(own, out, undisturbed, *options):
    """Take a sweep up again; it does what is left, nothing twice, and ends where an undisturbed one does."""
    before = outcomes(out)
    done = sweep(own / "grid.toml", "-o", out, "--jobs", 2, *options)
    assert done.returncode == 0 and "16 of 16 points" in done.stdout, done.stderr
    assert set(before) <= set(outcomes(out))
    assert exported(out) == exported(undisturbed)


@pytest.mark.parametrize("whom", [pytest.param("driver", marks=pytest.mark.slow), "terminal"])
def test_ctrl_c_keeps_what_is_finished(whom, own, undisturbed, tmp_path):
    """A terminal sends Ctrl-C to the driver and to its workers."""
    out = tmp_path / "out"
    with started(own / "grid.toml", "-o", out, "--jobs", 2) as process:
        mid_run(process, out, points=3)
        (os.kill if whom == "driver" else os.killpg)(process.pid, signal.SIGINT)
        assert process.wait(LIMIT_S) == 130
    said = process.said.read_text()
    assert "Traceback" not in said and "interrupted" in said
    results = pd.read_csv(out / "results.csv")
    assert 3 <= len(results) == len(outcomes(out)) < POINTS
    assert len(pd.read_parquet(out / "results.parquet")) == len(results)
    finish(own, out, undisturbed)


@needs_proc
def test_ctrl_c_before_workers_begin_is_a_few_lines(own, tmp_path):
    """They hear of it, too, while they import."""
    with started(own / "grid.toml", "-o", tmp_path / "out", "--jobs", 2) as process:
        until(lambda: workers_of(process) or process.poll() is not None, "workers")
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(LIMIT_S) == 130
    said = process.said.read_text()
    assert "Traceback" not in said and "archsim: interrupted" in said and len(said.splitlines()) <= 5


def kill_at_random_moments(own, out, times, seed):
    """SIGKILL to the driver some time between its start and its end."""
    draw = random.Random(seed)
    for _ in range(times):
        wanted = draw.choice([0, draw.randrange(POINTS - 4)])
        later = draw.uniform(0, 0.2 if wanted else 2)
        with started(own / "grid.toml", "-o", out, "--jobs", 2) as process:
            until(lambda p=process, n=wanted: len(outcomes(out)) >= n or p.poll() is not None, f"{wanted} points")
            time.sleep(later)  # whatever the driver is doing then
            process.kill()


def test_kill_at_any_moment_loses_no_finished_point(own, undisturbed, tmp_path):
    kill_at_random_moments(own, tmp_path / "out", times=3, seed=1)
    finish(own, tmp_path / "out", undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 8))
def test_kill_at_any_of_many_moments_loses_no_finished_point(seed, own, undisturbed, tmp_path):
    kill_at_random_moments(own, tmp_path / "out", times=6, seed=seed)
    finish(own, tmp_path / "out", undisturbed)


@needs_proc
def test_workers_end_with_a_killed_driver(own, tmp_path):
    out = tmp_path / "out"
    with started(own / "grid.toml", "-o", out, "--jobs", 2) as process:
        mid_run(process, out)
        workers = workers_of(process)
        process.kill()
    assert len(workers) == 2
    until(lambda: not any(map(alive, workers)), "the end of the workers")


@needs_proc
@pytest.mark.parametrize("deaths", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_worker_that_dies_changes_nothing(deaths, own, undisturbed, tmp_path):
    out = tmp_path / "out"
    with started(own / "grid.toml", "-o", out, "--jobs", 2) as process:
        for death in range(deaths):
            mid_run(process, out, points=4 * death + 1)
            until(lambda: workers_of(process), "workers")
            os.kill(workers_of(process)[0], signal.SIGKILL)
        assert process.wait(LIMIT_S) == 0, process.said.read_text()
    assert exported(out) == exported(undisturbed)


@needs_proc
def test_a_worker_killed_before_it_begins_changes_nothing(own, undisturbed, tmp_path):
    out = tmp_path / "out"
    with started(own / "grid.toml", "-o", out, "--jobs", 2) as process:
        until(lambda: workers_of(process) or process.poll() is not None, "workers")
        os.kill(workers_of(process)[0], signal.SIGKILL)
        assert process.wait(LIMIT_S) == 0, process.said.read_text()
    assert exported(out) == exported(undisturbed)


# Dask


@contextmanager
def dask_process(folder, *arguments):
    """A scheduler or a worker, in a folder of its own."""
    folder.mkdir()
    command = [sys.executable, "-m", "dask", *map(str, arguments), "--host", "127.0.0.1", "--no-dashboard"]
    with (folder / "said").open("w") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, cwd=folder)
    with process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def cluster(tmp_path):
    """A scheduler on this machine and two workers, each a process in a folder of its own."""
    pytest.importorskip("distributed")
    file = tmp_path / "scheduler.json"
    with ExitStack() as stack:
        enter = stack.enter_context
        scheduler = enter(dask_process(tmp_path / "s", "scheduler", "--port", "0", "--scheduler-file", file))
        until(lambda: file.exists() and file.read_text().endswith("}"), "a scheduler")
        address = json.loads(file.read_text())["address"]
        options = ("worker", address, "--no-nanny", "--nthreads", "1")
        workers = [enter(dask_process(tmp_path / name, *options)) for name in ("a", "b")]
        until(lambda: n_workers(address) == 2, "two workers")
        yield SimpleNamespace(address=address, scheduler=scheduler, workers=workers)


def n_workers(address):
    from distributed import Client

    with Client(address, timeout=LIMIT_S) as client:
        return len(client.nthreads())


def test_dask_writes_the_same_bytes(cluster, own, undisturbed, tmp_path):
    out = tmp_path / "out"
    done = sweep(own / "grid.toml", "-o", out, "--dask", cluster.address)
    assert done.returncode == 0, done.stderr
    assert exported(out) == exported(undisturbed)


def test_a_dask_worker_that_dies_changes_nothing(cluster, own, undisturbed, tmp_path):
    out = tmp_path / "out"
    with started(own / "grid.toml", "-o", out, "--dask", cluster.address) as process:
        mid_run(process, out)
        cluster.workers[0].kill()
        assert process.wait(LIMIT_S) == 0, process.said.read_text()
    assert exported(out) == exported(undisturbed)


@pytest.mark.slow
def test_a_dask_scheduler_that_dies_loses_no_finished_point(cluster, own, undisturbed, tmp_path):
    out = tmp_path / "out"
    with started(own / "grid.toml", "-o", out, "--dask", cluster.address) as process:
        mid_run(process, out)
        cluster.scheduler.kill()
        assert process.wait(LIMIT_S) == 1
    assert 1 <= len(pd.read_csv(out / "results.csv")) == len(outcomes(out)) < POINTS
    finish(own, out, undisturbed)


def test_dask_workers_find_what_lies_in_the_folder_of_the_driver(cluster, own, tmp_path):
    grid = write_grid(tmp_path / "grid.toml", ".", "limit = 1", threshold=[0.5], latency=[3])
    done = sweep(grid, "-o", tmp_path / "out", "--dask", cluster.address, cwd=own)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_dask_local_writes_the_same_bytes(own, undisturbed, tmp_path):
    pytest.importorskip("distributed")
    done = sweep(own / "grid.toml", "-o", tmp_path / "out", "--dask", "local", "--jobs", 2)
    assert done.returncode == 0, done.stderr
    assert exported(tmp_path / "out") == exported(undisturbed)


@pytest.mark.parametrize("address", [pytest.param("tcp://127.0.0.1:1", marks=pytest.mark.slow), "nowhere"])
def test_no_scheduler_is_one_message_and_exit_code_two(address, own, tmp_path):
    pytest.importorskip("distributed")
    done = sweep(own / "quick.toml", "-o", tmp_path / "out", "--dask", address)
    assert done.returncode == 2 and "no Dask scheduler there" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
