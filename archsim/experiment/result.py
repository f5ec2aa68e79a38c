"""Result of a run: one flat record, and everything behind it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archsim.activity import ActivityRecord
from archsim.config.technology import TechnologySpec
from archsim.engine.probe import Listener
from archsim.experiment.record import Record
from archsim.experiment.sensitivity import Sensitivity, vary_constants
from archsim.experiment.simulated_run import Baseline, SimulatedRun
from archsim.experiment.utilisation import unit_uses
from archsim.files import write_whole
from archsim.inference.head import Prediction
from archsim.kernels.arrays import F32
from archsim.sim.listeners.counters import StepEnds
from archsim.sim.listeners.perfetto import Timeline

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """Result of one network, trace, policy and machine, next to its baseline."""

    record: Record
    """Flat record with the keys of docs/CONTRACT.md; None where a figure does not apply."""
    activity: ActivityRecord
    """Decisions of the policy."""
    simulated: SimulatedRun
    """Time, counted actions, energy and area of the policy's machine."""
    outputs: list[F32] | None
    """Outputs of the top layer, (T, D·H) float32 per sequence; None if not kept."""
    layer_outputs: list[list[F32]] | None
    """Outputs of every layer, (T, D·H) float32 by layer and sequence; None unless simulated with `keep_layers`."""
    predictions: list[Prediction] | None
    """Class, transcript or translation per sequence; None for a network without a head."""
    has_task: bool
    """Whether the network names a task metric."""
    own_ranges: bool
    """Whether 8-bit inputs are stored by ranges measured on the run's own trace, because the network has none."""
    technology: TechnologySpec
    baseline: Baseline
    """Baseline, which further runs of the same network, trace and machine can take."""
    replay: Callable[[Listener], None]
    """Function that runs the event simulation again for a listener, with the same decisions."""

    def __repr__(self) -> str:
        r = self.record
        reuse, avoided = r["reuse_fraction"], r["macs_avoided_fraction"]
        share = f"MACs avoided {avoided:.3f}" if reuse is None else f"reuse {reuse:.3f}"
        change = "–" if r["output_change"] is None else f"{r['output_change']:.3f}"
        gains = f"{share}, output change {change}, speedup {r['speedup']:.3f}, energy saving {r['energy_saving']:.3f}"
        return f"<Result {r['network']} on {r['trace']}, {r['policy']} on {r['arch']}: {gains}>"

    @cached_property
    def timing(self) -> StepEnds:
        """End of each step of each pass, from a replay at the first use, because a run keeps no steps."""
        ends = StepEnds()
        self.replay(ends)
        return ends

    def summary(self) -> pd.Series[Any]:
        """Return the record as a pandas Series."""
        import pandas as pd

        return pd.Series(self.record, dtype=object)

    @cached_property
    def energy(self) -> pd.DataFrame:
        """Energy by component and action: component, action, bucket, count, pj_each, joules."""
        import pandas as pd

        return pd.DataFrame([asdict(row) for row in self.simulated.energy])

    @cached_property
    def utilisation(self) -> pd.DataFrame:
        """Shares of the run's time per unit: unit, busy, one column per wait reason, idle."""
        import pandas as pd

        rows = [{"unit": u.unit, "busy": u.busy, **u.waits, "idle": u.idle} for u in unit_uses(self.simulated)]
        return pd.DataFrame(rows).fillna(0.0)

    @cached_property
    def sensitivity(self) -> Sensitivity:
        """Energy saving over the plausible ranges of uncertain constants."""
        return vary_constants(self.simulated, self.baseline.simulated, self.technology)

    def to_json(self, path: str | Path) -> None:
        """Write a list with this one record."""
        write_records([self.record], path)

    def timeline(self, path: str | Path) -> None:
        """Write the run as Perfetto / Chrome trace events."""
        timeline = Timeline()
        self.replay(timeline)
        timeline.write(path, f"{self.record['network']} {self.record['policy']}")


def write_records(records: list[Record], path: str | Path) -> None:
    """Write flat records as one JSON list."""
    with write_whole(path) as temporary:
        temporary.write_text(json.dumps(records, indent=2, allow_nan=False) + "\n")
