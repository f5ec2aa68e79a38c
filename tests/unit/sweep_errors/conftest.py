"""Fixtures of sweeps that go wrong: a finished sweep, no worker processes, and no waiting for locks."""

import pytest
from harness import run_sweeps_in_process, write_lstm_files

from archsim.sweeps import store as stores
from archsim.sweeps.run import run_sweep
from archsim.sweeps.store import DATABASE


@pytest.fixture(autouse=True)
def in_process(monkeypatch):
    """Run sweeps without worker processes, and do not wait for a locked file."""
    run_sweeps_in_process(monkeypatch)
    monkeypatch.setattr(stores, "SHORT_PATIENCE_S", 0.01)


@pytest.fixture(scope="module")
def user_files(tmp_path_factory):
    """Return a folder with a network and its trace."""
    return write_lstm_files(tmp_path_factory.mktemp("own"), (7, 4, 9))


@pytest.fixture(scope="module")
def grid(user_files):
    fixed = {"network": str(user_files / "net"), "trace": str(user_files / "trace.npz")}
    return {"axes": {"threshold": [0.2, 0.6], "arch.fmu.latency_cycles": [3, 5]}, "fixed": fixed}


@pytest.fixture(scope="module")
def finished(grid, tmp_path_factory):
    """Return the bytes of a finished sweep's database, and its results."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        run_sweeps_in_process(patch)
        results = run_sweep(grid, folder).results
    return (folder / DATABASE).read_bytes(), results
