"""Sweeps on Dask workers: the same bytes as from local processes, also if a worker or the scheduler dies."""

import json
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace

import pandas as pd
import pytest
from harness_processes import (
    POINTS,
    TIMEOUT_S,
    exported,
    finish_and_compare,
    outcomes,
    started_sweep,
    sweep,
    wait_for_points,
    wait_until,
    write_grid,
)


@contextmanager
def dask_process(folder, *arguments):
    """Start a Dask scheduler or worker in a folder of its own; kill it at the end of the block."""
    folder.mkdir()
    command = [sys.executable, "-m", "dask", *map(str, arguments), "--host", "127.0.0.1", "--no-dashboard"]
    with (folder / "said").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    with process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def cluster(tmp_path):
    """Yield a scheduler on this machine and two workers, each a process in a folder of its own."""
    pytest.importorskip("distributed")
    file = tmp_path / "scheduler.json"
    with ExitStack() as stack:
        enter = stack.enter_context
        scheduler = enter(dask_process(tmp_path / "s", "scheduler", "--port", "0", "--scheduler-file", file))
        wait_until(lambda: file.exists() and file.read_text().endswith("}"), "a scheduler")
        address = json.loads(file.read_text())["address"]
        options = ("worker", address, "--no-nanny", "--nthreads", "1")
        workers = [enter(dask_process(tmp_path / name, *options)) for name in ("a", "b")]
        wait_until(lambda: n_workers(address) == 2, "two workers")
        yield SimpleNamespace(address=address, scheduler=scheduler, workers=workers)


def n_workers(address):
    """Return the number of workers that the scheduler knows."""
    from distributed import Client

    with Client(address, timeout=TIMEOUT_S) as client:
        return len(client.nthreads())


def test_dask_exports_the_same_bytes_as_local_processes(cluster, user_files, undisturbed, tmp_path):
    out = tmp_path / "out"
    done = sweep(user_files / "grid.toml", "-o", out, "--dask", cluster.address)
    assert done.returncode == 0, done.stderr
    assert exported(out) == exported(undisturbed)


def test_killed_dask_worker_leaves_exports_unchanged(cluster, user_files, undisturbed, tmp_path):
    out = tmp_path / "out"
    with started_sweep(user_files / "grid.toml", "-o", out, "--dask", cluster.address) as process:
        wait_for_points(process, out)
        cluster.workers[0].kill()
        assert process.wait(TIMEOUT_S) == 0, process.log.read_text()
    assert exported(out) == exported(undisturbed)


@pytest.mark.slow
def test_killed_dask_scheduler_loses_no_finished_point(cluster, user_files, undisturbed, tmp_path):
    out = tmp_path / "out"
    with started_sweep(user_files / "grid.toml", "-o", out, "--dask", cluster.address) as process:
        wait_for_points(process, out)
        cluster.scheduler.kill()
        assert process.wait(TIMEOUT_S) == 1
    assert 1 <= len(pd.read_csv(out / "results.csv")) == len(outcomes(out)) < POINTS
    finish_and_compare(user_files, out, undisturbed)


def test_dask_workers_resolve_paths_relative_to_the_driver(cluster, user_files, tmp_path):
    grid = write_grid(tmp_path / "grid.toml", ".", "limit = 1", threshold=[0.5], latency=[3])
    done = sweep(grid, "-o", tmp_path / "out", "--dask", cluster.address, cwd=user_files)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_dask_local_exports_the_same_bytes_as_local_processes(user_files, undisturbed, tmp_path):
    pytest.importorskip("distributed")
    done = sweep(user_files / "grid.toml", "-o", tmp_path / "out", "--dask", "local", "--jobs", 2)
    assert done.returncode == 0, done.stderr
    assert exported(tmp_path / "out") == exported(undisturbed)


@pytest.mark.parametrize("address", [pytest.param("tcp://127.0.0.1:1", marks=pytest.mark.slow), "nowhere"])
def test_missing_dask_scheduler_exits_with_2(address, user_files, tmp_path):
    pytest.importorskip("distributed")
    done = sweep(user_files / "quick.toml", "-o", tmp_path / "out", "--dask", address)
    assert done.returncode == 2 and "no Dask scheduler there" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
