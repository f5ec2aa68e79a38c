"""Fixtures of the tests of sweeps: two tiny networks, and sweeps without worker processes."""

from contextlib import nullcontext

import pytest
from harness import InProcessPool
from harness_sweeps import write_network

from archsim.sweeps import run as sweeps


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
    monkeypatch.setattr(sweeps, "pool_for", lambda *choice, **options: nullcontext(InProcessPool()))
