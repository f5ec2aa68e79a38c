"""What the paper reports, to stand beside our figures; nothing is computed from it."""

from __future__ import annotations

from typing import NamedTuple


class Averages(NamedTuple):
    """Means over the paper's four networks."""

    reuse: float
    energy_saving: float
    speedup: float


AVERAGES = Averages(reuse=0.267, energy_saving=0.21, speedup=1.4)
"""Silfa, Arnau, González, arXiv 2202.06563, abstract; the loss there is about one point (docs/PAPER_FACTS.md, B)."""
