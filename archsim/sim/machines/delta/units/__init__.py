"""Units of the column-skipping machine, as SimPy processes, and the work that each of them gets per step.

Their times must equal those of `archsim/kernels/pipeline/columns.py` (symbols of SEMANTICS 2.2).
"""

from __future__ import annotations

from dataclasses import dataclass

from archsim.kernels.arrays import Bools
from archsim.kernels.pipeline.columns import ColumnTimes
from archsim.sim.items import PassSegment


@dataclass(frozen=True, eq=False)
class ColumnStepWork:
    """One time step as one computation unit sees it: columns that enter its products, and the step's constants."""

    segment: PassSegment
    times: ColumnTimes
    entering: Bools
    """Elements of [x; h] that enter, (N,)."""
    n_tails: int = 0
    """Tails per neuron, one per product of the gate; 0 at step 0, because all elements enter."""
