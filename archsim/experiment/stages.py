"""The parts of a run, in the order they depend on each other; what is kept elsewhere may stand in for any of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial

from archsim.config.specs import ArchSpec
from archsim.experiment.setting import Setting
from archsim.experiment.timed import Baseline, Timed, time_and_weigh
from archsim.functional.run import FunctionalResult, run_workload
from archsim.functional.workload import KEEP_BYTES, Workload
from archsim.policies import NoReuse, Policy
from archsim.traceio.activity import ActivityRecord

Progress = Callable[[str, int, int], None]
"""Called with the name of a stage, the sequences just finished in it, and the sequences in all."""


class Stages:
    """The functional pass of a policy, the replay on a machine, and the baseline, each reporting its progress."""

    def __init__(self, setting: Setting, *, progress: Progress | None = None, threads: int | None = None) -> None:
        self.setting, self.threads = setting, threads
        self.progress: Progress = progress or (lambda stage, done, total: None)

    @cached_property
    def workload(self) -> Workload:
        """The setting's network and trace; a second pass will find the input products of the first."""
        setting = self.setting
        keep_bytes = KEEP_BYTES if setting.compares and setting.baseline_computes else 0
        return Workload(setting.network, setting.trace, precision=setting.precision, keep_bytes=keep_bytes)

    def functional(self, policy: Policy, *, keep_outputs: bool = False) -> FunctionalResult:
        """Outputs and decisions of the network under `policy`, at the setting's θ."""
        setting = self.setting
        return run_workload(
            self.workload,
            policy,
            0.0 if setting.threshold is None else setting.threshold,
            keep_outputs=keep_outputs,
            threads=self.threads,
            tick=partial(self._tick, f"outputs, policy {policy.name}"),
        )

    def replay(self, activity: ActivityRecord, machine: ArchSpec, stage: str) -> Timed:
        """What `machine` does with the decisions."""
        setting, tick = self.setting, partial(self._tick, stage)
        return time_and_weigh(setting.network, activity, machine, setting.technology, setting.detail, tick)

    def baseline(self, functional: FunctionalResult) -> Baseline:
        """The same network and trace, nothing reused, on the machine without memoization unit."""
        plain = self._without_reuse(functional)
        timed = self.replay(plain.activity, self.setting.baseline_machine, "events, baseline")
        return Baseline(self.setting.baseline_digest, plain, timed)

    def _without_reuse(self, functional: FunctionalResult) -> FunctionalResult:
        """Computed only where answers or a decoder's steps depend on it."""
        if self.setting.baseline_computes:
            return self.functional(NoReuse())
        activity = functional.activity
        steps = {shape.place: activity.steps(shape) for shape in activity.shapes}
        nothing_reused = ActivityRecord.without_reuse(activity.shapes, steps)
        return FunctionalResult(nothing_reused, None, None, None, None)

    def _tick(self, stage: str, done: int) -> None:
        self.progress(stage, done, len(self.setting.trace))
