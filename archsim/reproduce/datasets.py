"""Datasets that the paper's results are reproduced on: the bundled traces, and real test sets if present."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any

from archsim.corpora.catalogue import trace_of
from archsim.corpora.roots import DATA_VARIABLE
from archsim.errors import TraceError
from archsim.ir.folder import load_network
from archsim.paper import REUSE
from archsim.sweeps.choices import Choices
from archsim.traceio.trace import Trace

POLICIES = ("bnn", "oracle")
LOSSES = (1, 2, 3)
CURVES = ("bnn", "bnn:throttle=off", "oracle")

Limits = dict[str, int]
"""Number of sequences by network."""


@dataclass(frozen=True)
class Dataset:
    """Dataset of one trace per network, with the sequences that each experiment takes; empty limits mean all."""

    name: str
    title: str
    split: str | None
    networks: tuple[str, ...]
    thresholds: tuple[float, ...]
    losses: Limits
    """Sequences for the results at 1, 2, 3 points of loss."""
    curves: Limits
    """Sequences for curves over θ."""
    observed: Limits
    """Sequences for the observation of single neurons."""

    def trace(self, network: str) -> Trace:
        """Return the whole trace of a network."""
        return trace_of(load_network(network), self.split)

    def losses_grid(self) -> dict[str, Any]:
        """Return a grid of networks, policies and the losses that thresholds were calibrated for."""
        axes = {"policy": list(POLICIES), "max_loss": list(LOSSES)}
        return self._grid(axes, self.losses)

    def thresholds_grid(self) -> dict[str, Any]:
        """Return a grid of networks, policies and thresholds."""
        axes = {"policy": list(CURVES), "threshold": list(self.thresholds)}
        return self._grid(axes, self.curves)

    def _grid(self, axes: dict[str, Any], limits: Limits) -> dict[str, Any]:
        fixed: Choices = {} if self.split is None else {"split": self.split}
        if not limits:
            return {"axes": {"network": list(self.networks)} | axes, "fixed": fixed}
        each = {"network": list(self.networks), "limit": [limits[network] for network in self.networks]}
        return {"zip": [each], "axes": axes, "fixed": fixed}


def _limits(imdb: int, ds2: int, eesen: int, mnmt: int) -> Limits:
    return {"imdb-lstm": imdb, "ds2-gru": ds2, "eesen-bilstm": eesen, "mnmt-lstm": mnmt}


_THETAS = (0.05, 0.1, 0.2, 0.4, 0.6, 0.9, 1.4, 2.2, 3.5)
_NETWORKS = tuple(REUSE)
QUICK = Dataset(
    "bundled",
    "Bundled traces, cut short",
    None,
    _NETWORKS,
    thresholds=(0.1, 0.3, 0.6, 1.2, 2.4),
    losses=_limits(132, 30, 24, 132),
    curves=_limits(66, 12, 8, 40),
    observed=_limits(20, 6, 4, 16),
)
BUNDLED = Dataset(
    "bundled",
    "Bundled traces",
    None,
    _NETWORKS,
    _THETAS,
    losses={},
    curves=_limits(132, 30, 20, 132),
    observed=_limits(60, 20, 12, 60),
)
TEST = Dataset(
    "test",
    "Real test sets",
    "test",
    _NETWORKS,
    _THETAS,
    losses={},
    curves=_limits(1000, 60, 30, 300),
    observed=_limits(200, 20, 12, 100),
)


def datasets(*, quick: bool) -> list[Dataset]:
    """Return the datasets, the main one first: the test sets of the corpora that are present, then bundled traces.

    Raises TraceError if `$ARCHSIM_DATA` is set and holds none of the corpora.
    """
    if quick:
        return [QUICK]
    if not os.environ.get(DATA_VARIABLE):
        return [BUNDLED]
    present: list[str] = []
    missing: list[TraceError] = []
    for network in _NETWORKS:
        try:
            TEST.trace(network)
            present.append(network)
        except TraceError as error:
            missing.append(error)
    if not present:
        raise missing[0]
    return [replace(TEST, networks=tuple(present)), BUNDLED]
