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
from archsim.policies import kind_of

SequencesCallback = Callable[[str, int, int], None]
"""Called with the name of a stage, the sequences just finished in it, and the sequences in all."""


class Stages:
    """The functional pass of a policy, the replay on a machine, and the baseline, each reporting its progress.

    workload: that of the setting's network, trace and precision, where one is at hand.
    """

    def __init__(
        self,
        config: RunConfig,
        *,
        on_progress: SequencesCallback | None = None,
        threads: int | None = None,
        workload: Workload | None = None,
    ) -> None:
        self.config, self.threads, self._workload = config, threads, workload
        self.on_progress: SequencesCallback = on_progress or (lambda stage, done, total: None)

    @cached_property
    def workload(self) -> Workload:
        """The setting's network and trace; the run without reuse finds the input products of the policy's."""
        if self._workload is not None:
            return self._workload
        config = self.config
        shares = config.compares and kind_of(config.policy).makes_products_ahead
        cache_bytes = PAIR_BYTES if shares else 0
        return Workload(config.network, config.trace, precision=config.precision, cache_bytes=cache_bytes, once=True)

    def inference(self, *, keep_outputs: bool = False) -> InferenceResult:
        """Return outputs and decisions under the setting's policy and θ, beside those without reuse."""
        config = self.config
        return run_compared(
            self.workload,
            config.policy,
            config.thresholds,
            keep_outputs=keep_outputs,
            threads=self.threads,
            on_progress=partial(self._tick, f"outputs, policy {config.policy.name}"),
        )

    def replay(self, activity: ActivityRecord, machine: ArchSpec, stage: str) -> SimulatedRun:
        """What `machine` does with the decisions."""
        config, tick = self.config, partial(self._tick, stage)
        return simulate_and_cost(config.network, activity, machine, config.technology, config.detail, tick)

    def baseline(self, inference: InferenceResult) -> Baseline:
        """The same network and trace, nothing reused, on the machine without memoization unit."""
        plain = inference.without_reuse or inference
        simulated = self.replay(plain.activity, self.config.baseline_machine, "events, baseline")
        return Baseline(self.config.baseline_digest, plain, simulated)

    def _tick(self, stage: str, done: int) -> None:
        self.on_progress(stage, done, len(self.config.trace))
