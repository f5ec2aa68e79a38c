"""Units of the column-skipping machine, as SimPy processes, and the work that each of them gets per step.

Their times must equal those of `archsim/kernels/pipeline/columns.py` and `streamed_columns.py` (symbols of SEMANTICS
2.2 and 2.3).
"""

from __future__ import annotations

from dataclasses import dataclass

from archsim.kernels.arrays import Bools
from archsim.kernels.pipeline.columns import ColumnTimes
from archsim.sim.items import PassSegment, StreamedWeights


@dataclass(frozen=True, eq=False)
class ColumnStepWork:
    """One time step as one computation unit sees it: columns that enter its products, and the step's constants."""

    segment: PassSegment
    times: ColumnTimes
    entering: Bools
    """Elements of [x; h] that enter, (N,)."""
    streamed: StreamedWeights | None = None
    n_tails: int = 0
    """Tails per neuron, one per product of the gate; 0 at step 0, because all elements enter."""

    def fetches(self, element: int) -> bool:
        """Return whether the column of an element that enters comes from main memory."""
        return self.streamed is not None and not self.streamed.resident[element]
