"""Costs of the wires between computation units whose dot product units share their work."""

from __future__ import annotations

from collections.abc import Iterator

from archsim.config.components import Action
from archsim.sim.items import PassSegment

SHARED_PARTS = {"crossbar": 1}
"""Components that shared dispatch adds to a computation unit."""


def remote_row(segment: PassSegment) -> Iterator[Action]:
    """Yield the action of sending a row of weights to the computation unit that borrowed its neuron."""
    yield Action("crossbar", "bit", segment.columns * segment.numbers.weight_bits)
