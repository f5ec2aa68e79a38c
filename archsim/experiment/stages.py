"""Stages of a run, each of which a subclass may replace by a stored result."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial

from archsim.activity import ActivityRecord
from archsim.config.arch import ArchSpec
from archsim.experiment.run_config import RunConfig
from archsim.experiment.simulated_run import Baseline, SimulatedRun, simulate_and_cost
from archsim.inference.batch_runner import NOTHING, Keep
from archsim.inference.run import InferenceResult, run_compared
from archsim.inference.workload import Workload

SequencesCallback = Callable[[str, int, int], None]
"""Callback that is given the name of a stage, the sequences just finished in it, and the number of sequences."""


class Stages:
    """Stages of a run: inference run of a policy, replay on a machine, baseline; each reports its progress.

    workload: workload of the same network, trace and precision, if there is one already.
    """

    def __init__(
        self,
        config: RunConfig,
        *,
        on_progress: SequencesCallback | None = None,
        threads: int | None = None,
        workload: Workload | None = None,
    ) -> None:
        self.config = config
        self.threads = threads
        self._workload = workload
        self.on_progress: SequencesCallback = on_progress or (lambda stage, done, total: None)

    @cached_property
    def workload(self) -> Workload:
        """Workload of the network and trace; it caches input products for the run without reuse."""
        if self._workload is not None:
            return self._workload
        config = self.config
        return Workload.for_pair(config.network, config.trace, config.policy, precision=config.precision)

    def inference(self, keep: Keep = NOTHING) -> InferenceResult:
        """Return outputs and decisions of the policy at its θ, beside those without reuse."""
        config = self.config
        return run_compared(
            self.workload,
            config.policy,
            config.thresholds,
            keep=keep,
            threads=self.threads,
            on_progress=partial(self._report, f"outputs, policy {config.policy.name}"),
        )

    def replay(self, activity: ActivityRecord, arch: ArchSpec, stage: str) -> SimulatedRun:
        """Return the run of the machine `arch` on recorded decisions."""
        config, report = self.config, partial(self._report, stage)
        return simulate_and_cost(config.network, activity, arch, config.technology, config.detail, report)

    def baseline(self, inference: InferenceResult) -> Baseline:
        """Return the run without reuse on the machine without memoization unit."""
        plain = inference.without_reuse or inference
        simulated = self.replay(plain.activity, self.config.baseline_arch, "events, baseline")
        return Baseline(self.config.baseline_digest, plain, simulated)

    def _report(self, stage: str, done: int) -> None:
        self.on_progress(stage, done, len(self.config.trace))


class RecordedStages(Stages):
    """Stages of a configuration whose inference run was made before."""

    def __init__(
        self, config: RunConfig, inference: InferenceResult, *, on_progress: SequencesCallback | None = None
    ) -> None:
        super().__init__(config, on_progress=on_progress)
        self._inference = inference

    def inference(self, keep: Keep = NOTHING) -> InferenceResult:
        """Return the recorded run, with what was kept of it then."""
        return self._inference
