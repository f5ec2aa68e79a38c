"""Parts of one model that were attached together, and the simulation of what went through them."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from archsim.config.arch import ArchSpec
from archsim.errors import TraceError
from archsim.experiment.result import Result
from archsim.experiment.run_config import resolve
from archsim.experiment.simulate import simulate_inference
from archsim.experiment.stages import SequencesCallback
from archsim.importers.table import ImportTable
from archsim.inference.measure import measure_scales
from archsim.ir.network import Network, Scales
from archsim.live.part import Part, PartRecord
from archsim.live.recording import figures
from archsim.live.result import SumResult
from archsim.sim.machines import Detail
from archsim.traceio.trace import Trace

T = TypeVar("T")
SessionRecord = dict[str, str | int | float | list[PartRecord] | None]


class Session:
    """Attached parts of a model by name, with everything that went through them; `print` shows what is attached."""

    def __init__(self, parts: list[Part], table: ImportTable) -> None:
        self.parts = {part.name: part for part in parts}
        self.table = table
        """Table of the model's recurrent modules: simulated here, or left outside."""

    def __str__(self) -> str:
        return str(self.table)

    def close(self) -> None:
        """Remove the files of recorded inputs, if there are any; they are also removed when the session is dropped."""
        for part in self.parts.values():
            part.frames.close()

    @property
    def called(self) -> list[Part]:
        """Parts that something went through."""
        return [part for part in self.parts.values() if part.calls]

    def measure_scales(self) -> dict[str, Scales]:
        """Return the scales of the inputs of each part that was called, by name; of a run with policy `none`."""
        return {part.name: measure_scales(part.network, part.trace) for part in self.called}

    @property
    def network(self) -> Network | dict[str, Network]:
        """Network of the only part, or the networks of all parts by name."""
        return self._by_name({name: part.network for name, part in self.parts.items()})

    @property
    def trace(self) -> Trace | dict[str, Trace]:
        """Inputs and initial states so far of the only part, or of all that were called, by name."""
        return self._by_name({part.name: part.trace for part in self._ran()})

    @property
    def record(self) -> SessionRecord:
        """Reuse, multiply-accumulates avoided and output change so far: of all parts together, and under `parts`."""
        return {**self._figures(), "parts": [part.record for part in self.parts.values()]}

    def simulate(
        self,
        arch: ArchSpec | str | Path = "epur",
        detail: Detail = "block",
        seed: int = 0,
        *,
        on_progress: SequencesCallback | None = None,
    ) -> Result | SumResult:
        """Replay the recorded decisions on a machine, and on the baseline; return time and energy of all parts.

        Nothing is inferred again. Each part runs over all of its sequences before the next part does. A machine that
        takes turns between the parts would fetch their weights more often.
        Raises TraceError if nothing went through any part, and other subclasses of ArchsimError for a machine that
        cannot run one.
        """
        results = {part.name: self._simulate(part, arch, detail, seed, on_progress) for part in self._ran()}
        if len(self.parts) == 1:
            return next(iter(results.values()))
        return SumResult(results, output_change=self._figures()["output_change"])

    def _simulate(
        self, part: Part, arch: ArchSpec | str | Path, detail: Detail, seed: int, on_progress: SequencesCallback | None
    ) -> Result:
        runner = part.runner
        threshold = runner.threshold if runner.policy.needs_threshold else None
        config = resolve(part.network, part.trace, arch, runner.policy, threshold, runner.precision, detail, seed)
        return simulate_inference(config, part.inference, on_progress=on_progress)

    def _figures(self) -> dict[str, int | float | None]:
        return figures([part.inference for part in self.called])

    def _by_name(self, values: dict[str, T]) -> T | dict[str, T]:
        return next(iter(values.values())) if len(self.parts) == 1 else values

    def _ran(self) -> list[Part]:
        """Return the parts that were called; TraceError if none was."""
        if not self.called:
            names = ", ".join(self.parts)
            raise TraceError(f"nothing has gone through {names} yet: run the model inside the with block")
        return self.called
