"""Wires between computation units whose dot product units share their work: their parts and their actions."""

from __future__ import annotations

from collections.abc import Iterator

from archsim.config.components import Action
from archsim.units import BYTES_PER_FP16

SHARED_PARTS = {"crossbar": 1}
"""Components that shared dispatch adds to a computation unit."""


def crossing(columns: int) -> Iterator[Action]:
    """Yield the action of sending one neuron's weights to the computation unit that borrowed it."""
    yield Action("crossbar", "bit", columns * BYTES_PER_FP16 * 8)
