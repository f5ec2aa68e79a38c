"""Actions of dot product units that share their work."""

from __future__ import annotations

from collections.abc import Iterator

from archsim.sim.actions import Action
from archsim.units import BYTES_PER_FP16


def crossing(columns: int) -> Iterator[Action]:
    """The weights of a dot product, on their way to a computation unit that is not theirs."""
    yield Action("crossbar", "bit", columns * BYTES_PER_FP16 * 8)
