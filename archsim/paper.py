"""What the paper reports, to stand beside our figures; nothing is computed from it.

Silfa, Arnau, González, arXiv 2202.06563. How surely each is known: docs/PAPER_FACTS.md.
"""

from __future__ import annotations

from typing import NamedTuple


class Averages(NamedTuple):
    """Means over the paper's four networks."""

    reuse: float
    energy_saving: float
    speedup: float


AVERAGES = Averages(reuse=0.267, energy_saving=0.21, speedup=1.4)
"""Abstract (A); the loss there is about one point (B)."""
REUSE = {"imdb-lstm": 0.362, "ds2-gru": 0.164, "eesen-bilstm": 0.305, "mnmt-lstm": 0.19}
"""Reuse at one point of loss of the paper's network that ours stands for (C)."""
AREA_MM2 = (64.6, 66.8)
"""Of E-PUR without and with memoization (C)."""
MEAN_CHANGE, SHARE_UNDER_TENTH = 0.23, 0.25
"""Mean relative change of consecutive outputs, and the share of outputs that change by less than 10 % (C)."""
