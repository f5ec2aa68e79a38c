"""The parts of a run, in the order they depend on each other; what is kept elsewhere may stand in for any of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial

from archsim.activity import ActivityRecord
from archsim.config.arch import ArchSpec
from archsim.experiment.run_config import RunConfig
from archsim.experiment.simulated_run import Baseline, SimulatedRun, simulate_and_cost
from archsim.inference.run import InferenceResult, run_compared
from archsim.inference.workload import PAIR_BYTES, Workload
from archsim.policies import skips_columns

Progress = Callable[[str, int, int], None]
"""Called with the name of a stage, the sequences just finished in it, and the sequences in all."""


class Stages:
    """The functional pass of a policy, the replay on a machine, and the baseline, each reporting its progress.

    workload: that of the setting's network, trace and precision, where one is at hand.
    """

    def __init__(
        self,
        setting: RunConfig,
        *,
        progress: Progress | None = None,
        threads: int | None = None,
        workload: Workload | None = None,
    ) -> None:
        self.setting, self.threads, self._workload = setting, threads, workload
        self.progress: Progress = progress or (lambda stage, done, total: None)

    @cached_property
    def workload(self) -> Workload:
        """The setting's network and trace; the run without reuse finds the input products of the policy's."""
        if self._workload is not None:
            return self._workload
        setting = self.setting
        shares = setting.compares and not skips_columns(setting.policy)
        cache_bytes = PAIR_BYTES if shares else 0
        return Workload(setting.network, setting.trace, precision=setting.precision, cache_bytes=cache_bytes, once=True)

    def functional(self, *, keep_outputs: bool = False) -> InferenceResult:
        """Return outputs and decisions under the setting's policy and θ, beside those without reuse."""
        setting = self.setting
        return run_compared(
            self.workload,
            setting.policy,
            0.0 if setting.threshold is None else setting.threshold,
            keep_outputs=keep_outputs,
            threads=self.threads,
            on_progress=partial(self._tick, f"outputs, policy {setting.policy.name}"),
        )

    def replay(self, activity: ActivityRecord, machine: ArchSpec, stage: str) -> SimulatedRun:
        """What `machine` does with the decisions."""
        setting, tick = self.setting, partial(self._tick, stage)
        return simulate_and_cost(setting.network, activity, machine, setting.technology, setting.detail, tick)

    def baseline(self, functional: InferenceResult) -> Baseline:
        """The same network and trace, nothing reused, on the machine without memoization unit."""
        plain = functional.without_reuse or functional
        timed = self.replay(plain.activity, self.setting.baseline_machine, "events, baseline")
        return Baseline(self.setting.baseline_digest, plain, timed)

    def _tick(self, stage: str, done: int) -> None:
        self.progress(stage, done, len(self.setting.trace))
