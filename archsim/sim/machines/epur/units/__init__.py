"""Units of the E-PUR-like machine, as SimPy processes, and the work that each of them gets per step.

Their times must equal those of `archsim/kernels/pipeline/resident.py` and `streamed.py` (SEMANTICS 2.2 and 2.3).
"""

from __future__ import annotations

from dataclasses import dataclass

from archsim.kernels.pipeline.recurrence import StepTimes
from archsim.sim.items import PassSegment, StreamedWeights


@dataclass(frozen=True, eq=False)
class StepWork:
    """One time step as one computation unit sees it: decisions of its gate's neurons, and the step's constants."""

    segment: PassSegment
    times: StepTimes
    reused: list[bool]
    """Decision of each neuron, in order."""
    streamed: StreamedWeights | None

    def fetches(self, neuron: int) -> bool:
        """Return whether the weights of a neuron that is evaluated come from main memory."""
        return self.streamed is not None and not self.streamed.resident[neuron]


@dataclass(frozen=True, eq=False)
class ProjectionWork:
    """End of a step as one dot product unit sees it: its rows of the projection."""

    segment: PassSegment
    n_rows: int
    row_cycles: int
    """c_p."""
