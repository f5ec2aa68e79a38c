"""Fixtures of the tests of sweeps: two tiny networks, and sweeps in this process."""

from contextlib import nullcontext

import pytest
from harness import InProcessPool
from harness_sweeps import write_network

from archsim.sweeps import run as sweeps


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory):
    """Choices of a network without a task."""
    return write_network(tmp_path_factory.mktemp("own") / "net")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """Choices of a network that classifies."""
    return write_network(tmp_path_factory.mktemp("labelled") / "net", labelled=True)


@pytest.fixture
def in_process(monkeypatch):
    """Sweeps without other processes."""
    monkeypatch.setattr(sweeps, "pool_for", lambda *choice, **options: nullcontext(InProcessPool()))
