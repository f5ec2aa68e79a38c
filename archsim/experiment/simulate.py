"""One run: a network, a trace, a policy and a machine in; a result out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from archsim.config.specs import ArchSpec
from archsim.errors import ConfigError
from archsim.experiment.record import make_record
from archsim.experiment.result import Result
from archsim.experiment.setting import Setting, resolve
from archsim.experiment.timed import Baseline, Timed, time_and_weigh
from archsim.functional.inputs import prepared
from archsim.functional.run import FunctionalResult, run_functional
from archsim.functional.thresholds import Threshold
from archsim.ir.network import Network
from archsim.policies import NoReuse, ReusePolicy
from archsim.sim.accelerator import Detail, simulate_activity
from archsim.timeline.perfetto import Timeline
from archsim.traceio.activity import ActivityRecord
from archsim.traceio.trace import Trace

Progress = Callable[[str, int, int], None]
"""Called with the name of a stage, the sequences just finished in it, and the sequences in all."""


def simulate(
    network: Network | str | Path,
    trace: Trace | str | Path,
    arch: ArchSpec | str | Path = "epur",
    policy: ReusePolicy | str = "bnn",
    threshold: Threshold | None = None,
    precision: str = "fp16",
    detail: Detail = "block",
    seed: int = 0,
    *,
    keep_outputs: bool = True,
    baseline: Baseline | None = None,
    progress: Progress | None = None,
) -> Result:
    """Run a network over a trace with a reuse policy on an accelerator, and without reuse for comparison.

    threshold: θ, one number, one per layer, or one per (layer, gate); None takes the network's calibrated one.
    precision: `fp16` or `fp32` arithmetic; detail: `block` (fast) or `neuron` (event by event, same times).
    seed: part of the record's digest; nothing is drawn at random today.
    baseline: that of an earlier result, where only policy and threshold have changed since.
    Raises subclasses of ArchsimError for anything that cannot be simulated.
    """
    started = time.perf_counter()
    setting = resolve(network, trace, arch, policy, threshold, precision, detail, seed)
    inputs = prepared(setting.network, setting.trace)
    stages = _Stages(setting, inputs, progress or (lambda stage, done, total: None))
    functional = stages.compute(setting.policy, keep_outputs)
    timed = stages.replay(functional.activity, setting.machine, f"events, policy {setting.policy.name}")
    if baseline is None:
        same = not setting.policy.uses_memo_unit
        baseline = Baseline(setting.baseline_digest, functional, timed) if same else stages.baseline(functional)
    elif baseline.digest != setting.baseline_digest:
        raise ConfigError("baseline is that of another network, trace, machine or precision: leave it out")
    record = make_record(setting, functional, timed, baseline)
    record["wall_s"] = round(time.perf_counter() - started, 3)
    return Result(
        record=record,
        activity=functional.activity,
        timed=timed,
        outputs=functional.outputs,
        answers=functional.answers,
        has_task=setting.network.metric is not None,
        technology=setting.technology,
        baseline=baseline,
        replay=partial(_replay_for, setting, functional.activity),
    )


@dataclass(frozen=True)
class _Stages:
    """The parts of a run, each reporting its progress under its name."""

    setting: Setting
    trace: Trace
    """The setting's, in the form the first layer takes."""
    progress: Progress

    def compute(self, policy: ReusePolicy, keep_outputs: bool) -> FunctionalResult:
        setting = self.setting
        tick = partial(self._tick, f"outputs, policy {policy.name}")
        return run_functional(
            setting.network,
            self.trace,
            policy,
            0.0 if setting.threshold is None else setting.threshold,
            precision=setting.precision,
            keep_outputs=keep_outputs,
            tick=tick,
        )

    def replay(self, activity: ActivityRecord, machine: ArchSpec, stage: str) -> Timed:
        setting, tick = self.setting, partial(self._tick, stage)
        return time_and_weigh(setting.network, activity, machine, setting.technology, setting.detail, tick)

    def baseline(self, functional: FunctionalResult) -> Baseline:
        """The same network and trace, nothing reused, on the machine without memoization unit."""
        plain = self._without_reuse(functional)
        timed = self.replay(plain.activity, self.setting.baseline_machine, "events, baseline")
        return Baseline(self.setting.baseline_digest, plain, timed)

    def _without_reuse(self, functional: FunctionalResult) -> FunctionalResult:
        """Computed only where answers or a decoder's steps depend on it."""
        if self.setting.network.decoder or functional.metric is not None:
            return self.compute(NoReuse(), keep_outputs=False)
        activity = functional.activity
        steps = {shape.place: activity.steps(shape) for shape in activity.shapes}
        nothing_reused = ActivityRecord.without_reuse(activity.shapes, steps)
        return FunctionalResult(nothing_reused, None, None, None, None)

    def _tick(self, stage: str, done: int) -> None:
        self.progress(stage, done, len(self.trace))


def _replay_for(setting: Setting, activity: ActivityRecord, listener: Timeline) -> None:
    simulate_activity(setting.network, activity, setting.machine, detail=setting.detail, listeners=[listener])
