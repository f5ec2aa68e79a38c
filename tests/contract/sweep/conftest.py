"""Fixtures of the tests of `archsim sweep`: a folder with a network and grids, and an undisturbed sweep of it."""

import pytest
from harness import write_lstm_files
from harness_processes import sweep, write_grid


@pytest.fixture(scope="session")
def user_files(tmp_path_factory):
    """Return a folder with a network, a trace, and two grids whose points take a fraction of a second each."""
    folder = write_lstm_files(tmp_path_factory.mktemp("own"), lengths=(30, 3, 12))
    write_grid(folder / "grid.toml", folder, 'detail = "neuron"')
    write_grid(folder / "quick.toml", folder, "limit = 1", threshold=[0.5], latency=[3, 5])
    return folder


@pytest.fixture(scope="session")
def undisturbed(user_files):
    """Return the folder of a finished sweep that was not interrupted."""
    done = sweep(user_files / "grid.toml", "-o", user_files / "undisturbed", "--jobs", 2)
    assert done.returncode == 0 and "16 of 16 points" in done.stdout, done.stderr
    return user_files / "undisturbed"
