"""Fixtures of the tests of sweeps: two tiny networks, and sweeps without worker processes."""

import pytest
from harness import run_sweeps_in_process
from harness_sweeps import write_network


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory):
    """Return the choices of a network without a metric."""
    return write_network(tmp_path_factory.mktemp("own") / "net")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """Return the choices of a network that classifies."""
    return write_network(tmp_path_factory.mktemp("labelled") / "net", labelled=True)


@pytest.fixture
def in_process(monkeypatch):
    """Run sweeps without worker processes."""
    run_sweeps_in_process(monkeypatch)
