"""Simulation of one run: network, trace, policy and machine in; a result out."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

from archsim.activity import ActivityRecord
from archsim.config.arch import ArchSpec
from archsim.engine.probe import Listener
from archsim.errors import ConfigError
from archsim.experiment.record import make_record
from archsim.experiment.result import Result
from archsim.experiment.run_config import RunConfig, resolve
from archsim.experiment.simulated_run import Baseline
from archsim.experiment.stages import RecordedStages, SequencesCallback, Stages
from archsim.inference.batch_runner import NOTHING, Keep
from archsim.inference.policy_parameters import Threshold
from archsim.inference.run import InferenceResult
from archsim.inference.workload import CACHE_BYTES, Workload
from archsim.ir.network import Network
from archsim.policies import Policy
from archsim.sim.accelerator import simulate_activity
from archsim.sim.machines import Detail
from archsim.traceio.trace import Trace


def simulate(
    network: Network | str | Path,
    trace: Trace | str | Path,
    arch: ArchSpec | str | Path = "epur",
    policy: Policy | str = "bnn",
    threshold: Threshold | None = None,
    precision: str | None = None,
    detail: Detail = "block",
    seed: int = 0,
    *,
    keep_outputs: bool = True,
    keep_layers: bool = False,
    baseline: Baseline | None = None,
    on_progress: SequencesCallback | None = None,
) -> Result:
    """Run a network over a trace with a reuse policy on an accelerator, and without reuse for comparison.

    threshold: θ as one number, one per layer, or one per (layer, gate); None takes the network's calibrated θ.
    precision: `fp16`, `fp32`, `int8` or `int4` (SEMANTICS 1.2); None takes that of the machine, fp16 unless it says
    otherwise. Integers take the ranges of inputs from the network's scales, or measure them on `trace` where it has
    none (`Result.own_ranges`).
    detail: `block` (fast) or `neuron` (event by event, same times).
    seed: part of the record's digest; nothing is drawn at random today.
    keep_outputs: whether `outputs` is filled; keep_layers: whether `layer_outputs` is, with every layer's.
    baseline: baseline of an earlier result, if only policy and threshold have changed since.
    on_progress: called with a stage, the sequences just finished, and the number of sequences.
    Raises subclasses of ArchsimError for anything that cannot be simulated.
    """
    started = time.perf_counter()
    config = resolve(network, trace, arch, policy, threshold, precision, detail, seed)
    keep = Keep(keep_outputs, keep_layers)
    result = run_stages(Stages(config, on_progress=on_progress), keep, baseline=baseline)
    return _set_wall_time(result, started)


def simulate_policies(configs: list[RunConfig], on_progress: SequencesCallback | None = None) -> list[Result]:
    """Simulate configurations that differ in the policy only; the run without reuse is computed once."""
    results: list[Result] = []
    first, *others = configs
    workload = None
    if others:
        workload = Workload(first.network, first.trace, precision=first.precision, cache_bytes=CACHE_BYTES)
    for config in configs:
        started = time.perf_counter()
        stages = Stages(config, on_progress=on_progress, workload=workload)
        baseline = results[-1].baseline if results else None
        results.append(_set_wall_time(run_stages(stages, baseline=baseline), started))
    return results


def simulate_inference(
    config: RunConfig, inference: InferenceResult, *, on_progress: SequencesCallback | None = None
) -> Result:
    """Simulate a configuration whose inference run is there already; its decisions are replayed."""
    started = time.perf_counter()
    return _set_wall_time(run_stages(RecordedStages(config, inference, on_progress=on_progress)), started)


def _set_wall_time(result: Result, started: float) -> Result:
    result.record["wall_s"] = round(time.perf_counter() - started, 3)
    return result


def run_stages(stages: Stages, keep: Keep = NOTHING, *, baseline: Baseline | None = None) -> Result:
    """Return the result of all stages of a run; the caller sets its record's `wall_s`."""
    config = stages.config
    inference = stages.inference(keep)
    simulated = stages.replay(inference.activity, config.policy_arch, f"events, policy {config.policy.name}")
    if baseline is None:
        same = Baseline(config.baseline_digest, inference, simulated)
        baseline = stages.baseline(inference) if config.compares else same
    elif baseline.digest != config.baseline_digest:
        raise ConfigError("baseline is that of another network, trace, machine or precision: leave it out")
    return Result(
        record=make_record(config, inference, simulated, baseline),
        activity=inference.activity,
        simulated=simulated,
        outputs=inference.outputs,
        layer_outputs=inference.layer_outputs,
        predictions=inference.predictions,
        has_task=config.network.metric is not None,
        own_ranges=config.own_ranges,
        technology=config.technology,
        baseline=baseline,
        replay=partial(_replay_for, config, inference.activity),
    )


def _replay_for(config: RunConfig, activity: ActivityRecord, listener: Listener) -> None:
    simulate_activity(config.network, activity, config.policy_arch, detail=config.detail, listeners=[listener])
