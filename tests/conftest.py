"""Shared fixtures: networks and traces small enough to reason about."""

from __future__ import annotations

import numpy as np
import pytest
from harness import make_network, make_trace
from hypothesis import HealthCheck, settings

from archsim.experiment import stages
from archsim.policies import POLICIES

# No test depends on wall time (a first call compiles), and every run tries the same examples.
settings.register_profile("archsim", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("archsim")


@pytest.fixture
def rng():
    """Return a generator with a fixed seed."""
    return np.random.default_rng(7)


@pytest.fixture
def registry(monkeypatch):
    """Return the registry of policies; those that the test registers are forgotten after it."""
    monkeypatch.setattr(POLICIES, "items", dict(POLICIES.items))
    return POLICIES


@pytest.fixture
def tiny_lstm():
    """Return a network of two bidirectional LSTM layers, 5 inputs, 4 units."""
    return make_network("lstm", inputs=5, units=4, layers=2, bidirectional=True)


@pytest.fixture
def tiny_trace(tiny_lstm):
    """Return three sequences of different length for `tiny_lstm`."""
    return make_trace(tiny_lstm, lengths=(6, 1, 9))


@pytest.fixture
def computed_policies(monkeypatch):
    """Return a list that collects the policy of each inference run computed from now on."""
    computed, real = [], stages.run_compared

    def counted(workload, policy, *arguments, **options):
        computed.append(policy.name)
        return real(workload, policy, *arguments, **options)

    monkeypatch.setattr(stages, "run_compared", counted)
    return computed
