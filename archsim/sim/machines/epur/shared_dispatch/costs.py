"""Costs of the wires between computation units whose dot product units share their work."""

from __future__ import annotations

from collections.abc import Iterator

from archsim.config.components import Action
from archsim.units import BYTES_PER_FP16

SHARED_PARTS = {"crossbar": 1}
"""Components that shared dispatch adds to a computation unit."""


def remote_row(columns: int) -> Iterator[Action]:
    """Yield the action of sending a row of `columns` weights to the computation unit that borrowed its neuron."""
    yield Action("crossbar", "bit", columns * BYTES_PER_FP16 * 8)
