"""Sweeps that are interrupted or lose a process: taken up again, they end in the same bytes."""

import os
import random
import signal
import time
from pathlib import Path

import pandas as pd
import pytest
from harness_processes import (
    POINTS,
    TIMEOUT_S,
    alive,
    exported,
    finish_and_compare,
    outcomes,
    started_sweep,
    wait_for_points,
    wait_until,
    workers_of,
)

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")


@pytest.mark.parametrize("whom", [pytest.param("driver", marks=pytest.mark.slow), "terminal"])
def test_ctrl_c_keeps_finished_points_and_exits_with_130(whom, user_files, undisturbed, tmp_path):
    """A terminal sends Ctrl-C to the driver and to its workers."""
    out = tmp_path / "out"
    with started_sweep(user_files / "grid.toml", "-o", out, "--jobs", 2) as process:
        wait_for_points(process, out, points=3)
        (os.kill if whom == "driver" else os.killpg)(process.pid, signal.SIGINT)
        assert process.wait(TIMEOUT_S) == 130
    log = process.log.read_text()
    assert "Traceback" not in log and "interrupted" in log
    results = pd.read_csv(out / "results.csv")
    assert 3 <= len(results) == len(outcomes(out)) < POINTS
    assert len(pd.read_parquet(out / "results.parquet")) == len(results)
    finish_and_compare(user_files, out, undisturbed)


@needs_proc
def test_ctrl_c_while_workers_import_prints_a_few_lines(user_files, tmp_path):
    """The workers receive Ctrl-C as well."""
    with started_sweep(user_files / "grid.toml", "-o", tmp_path / "out", "--jobs", 2) as process:
        wait_until(lambda: workers_of(process) or process.poll() is not None, "workers")
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(TIMEOUT_S) == 130
    log = process.log.read_text()
    assert "Traceback" not in log and "archsim: interrupted" in log and len(log.splitlines()) <= 5


def kill_at_random_moments(user_files, out, times, seed):
    """Start a sweep `times` times and kill its driver at a random moment."""
    draw = random.Random(seed)
    for _ in range(times):
        wanted = draw.choice([0, draw.randrange(POINTS - 4)])
        later = draw.uniform(0, 0.2 if wanted else 2)
        with started_sweep(user_files / "grid.toml", "-o", out, "--jobs", 2) as process:
            wait_until(lambda p=process, n=wanted: len(outcomes(out)) >= n or p.poll() is not None, f"{wanted} points")
            time.sleep(later)  # whatever the driver is doing then
            process.kill()


def test_killed_driver_loses_no_finished_point(user_files, undisturbed, tmp_path):
    kill_at_random_moments(user_files, tmp_path / "out", times=3, seed=1)
    finish_and_compare(user_files, tmp_path / "out", undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 8))
def test_driver_killed_many_times_loses_no_finished_point(seed, user_files, undisturbed, tmp_path):
    kill_at_random_moments(user_files, tmp_path / "out", times=6, seed=seed)
    finish_and_compare(user_files, tmp_path / "out", undisturbed)


@needs_proc
def test_workers_end_after_their_driver_is_killed(user_files, tmp_path):
    out = tmp_path / "out"
    with started_sweep(user_files / "grid.toml", "-o", out, "--jobs", 2) as process:
        wait_for_points(process, out)
        workers = workers_of(process)
        process.kill()
    assert len(workers) == 2
    wait_until(lambda: not any(map(alive, workers)), "the end of the workers")


@needs_proc
@pytest.mark.parametrize("deaths", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_killed_worker_leaves_exports_unchanged(deaths, user_files, undisturbed, tmp_path):
    out = tmp_path / "out"
    with started_sweep(user_files / "grid.toml", "-o", out, "--jobs", 2) as process:
        for death in range(deaths):
            wait_for_points(process, out, points=4 * death + 1)
            wait_until(lambda: workers_of(process), "workers")
            os.kill(workers_of(process)[0], signal.SIGKILL)
        assert process.wait(TIMEOUT_S) == 0, process.log.read_text()
    assert exported(out) == exported(undisturbed)


@needs_proc
def test_worker_killed_before_it_starts_leaves_exports_unchanged(user_files, undisturbed, tmp_path):
    out = tmp_path / "out"
    with started_sweep(user_files / "grid.toml", "-o", out, "--jobs", 2) as process:
        wait_until(lambda: workers_of(process) or process.poll() is not None, "workers")
        os.kill(workers_of(process)[0], signal.SIGKILL)
        assert process.wait(TIMEOUT_S) == 0, process.log.read_text()
    assert exported(out) == exported(undisturbed)
