"""Fixtures of the tests of `archsim sweep`: a folder with a network and grids, and an undisturbed sweep of it."""

import pytest
from harness import write_own
from harness_processes import sweep, write_grid


@pytest.fixture(scope="session")
def own(tmp_path_factory):
    """A folder with a network, a trace, and a grid of a few points of a fraction of a second each."""
    folder = write_own(tmp_path_factory.mktemp("own"), lengths=(30, 3, 12))
    write_grid(folder / "grid.toml", folder, 'detail = "neuron"')
    write_grid(folder / "quick.toml", folder, "limit = 1", threshold=[0.5], latency=[3, 5])
    return folder


@pytest.fixture(scope="session")
def undisturbed(own):
    """The folder of a sweep that nothing happened to."""
    done = sweep(own / "grid.toml", "-o", own / "undisturbed", "--jobs", 2)
    assert done.returncode == 0 and "16 of 16 points" in done.stdout, done.stderr
    return own / "undisturbed"
