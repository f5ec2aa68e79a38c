"""Figures that the paper reports, shown beside those of archsim; nothing is computed from them.

Source: Silfa, Arnau, González, arXiv 2202.06563. docs/PAPER_FACTS.md gives the certainty (A, B, C) of each figure.
"""

from __future__ import annotations

from typing import NamedTuple


class Averages(NamedTuple):
    """Means over the paper's four networks."""

    reuse: float
    energy_saving: float
    speedup: float


AVERAGES = Averages(reuse=0.267, energy_saving=0.21, speedup=1.4)
"""Averages in the abstract (A), at a loss of about one point (B)."""
REUSE = {"imdb-lstm": 0.362, "ds2-gru": 0.164, "eesen-bilstm": 0.305, "mnmt-lstm": 0.19}
"""Reuse at one point of loss, of the paper's network that each bundled network replaces (C)."""
AREA_MM2 = (64.6, 66.8)
"""Area of E-PUR without and with memoization (C)."""
MEAN_CHANGE, SHARE_UNDER_TENTH = 0.23, 0.25
"""Mean relative change of consecutive outputs, and the share of outputs that change by less than 10 % (C)."""
