"""Configuration of a run: names resolved, every choice checked, one digest over all that determines it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar, get_args

from archsim._version import __version__
from archsim.activity import pass_shapes
from archsim.config.arch import ArchSpec
from archsim.config.load import load_arch
from archsim.config.technology import TechnologySpec, load_technology
from archsim.corpora.catalogue import load_trace
from archsim.errors import ConfigError
from archsim.inference.measure import ranged
from archsim.inference.policy_parameters import (
    Threshold,
    means_for,
    plain_threshold,
    scales_for,
    thresholds_for,
    zero_thresholds,
)
from archsim.inference.precision import lacks_ranges
from archsim.ir.folder import load_network
from archsim.ir.network import Network
from archsim.kernels.arrays import F32
from archsim.plugins import sources_of
from archsim.policies import Policy, declaration, policy_from, saves_work
from archsim.sim.machines import MACHINES, Detail, Machine, all_machines, check_fit, machine_of
from archsim.task_metrics.metrics import METRICS
from archsim.traceio.trace import Trace
from archsim.validation import whole_number

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class RunConfig:
    """Configuration of a run, checked as far as possible without running it."""

    network: Network
    trace: Trace
    arch: ArchSpec
    """Machine in the number format of the run's precision."""
    policy: Policy
    threshold: Any
    """θ as a number or nested lists of numbers; None if the policy has none."""
    thresholds: list[F32]
    """θ per gate, (G,) for each layer; zeros if the policy has none."""
    technology: TechnologySpec
    precision: str
    detail: Detail
    seed: int
    own_ranges: bool = False
    """Whether the ranges of 8-bit inputs were measured on the trace of the run, because the network has none."""

    def __post_init__(self) -> None:
        if self.detail not in get_args(Detail):
            raise ConfigError(f"detail = {self.detail!r}: accepted: {', '.join(get_args(Detail))}")
        seed = whole_number(self.seed)
        if seed is None or seed < 0:
            raise ConfigError(f"seed = {self.seed!r}: need a whole number >= 0")
        object.__setattr__(self, "seed", seed)
        policy_arch = self.policy_arch
        scales_for(self.network, self.policy)
        means_for(self.network, self.policy)
        for arch in (policy_arch, self.baseline_arch):
            check_fit(self.network, pass_shapes(self.network), arch)

    @property
    def _machine(self) -> Machine:
        return MACHINES.get(declaration(self.policy).machine_name)

    @property
    def policy_arch(self) -> ArchSpec:
        """Architecture as the machine that the policy runs on, with what the policy needs of it."""
        longest = max(layer.joint_size for layer in self.network.layers)
        return self._machine.spec_for(self.arch, self.policy, longest)

    @property
    def baseline_arch(self) -> ArchSpec:
        """Architecture as the machine that saves no work."""
        return self._machine.baseline(self.arch)

    @property
    def compares(self) -> bool:
        """Whether the baseline runs on another machine than the policy."""
        return saves_work(self.policy)

    @cached_property
    def digest(self) -> str:
        """Digest (SHA-256) of everything that determines the figures."""
        return _digest(self._run_on(self.arch, self.policy_arch) | self._decided)

    @cached_property
    def baseline_digest(self) -> str:
        """Digest (SHA-256) of everything that determines the figures of the baseline."""
        return _digest(self._run_on(self.baseline_arch, self.baseline_arch))

    @cached_property
    def workload_digest(self) -> str:
        """Digest (SHA-256) of network, trace and precision, for any policy."""
        return _digest(self._computed)

    @cached_property
    def inference_digest(self) -> str:
        """Digest (SHA-256) of everything that determines the inference run; the machine is not part of it."""
        return _digest(self._computed | self._decided)

    @property
    def _decided(self) -> dict[str, Any]:
        """Digest fields of the reuse decisions: policy, θ, scales, and a plug-in's source."""
        policy = self.policy
        options = {k: v for k, v in vars(policy).items() if isinstance(v, bool | int | float | str)}
        # `vars` of a policy enters the digest, so a new attribute there would invalidate every cached run.
        decided = {"policy": [policy.name, options], "threshold": self.threshold if policy.needs_threshold else None}
        scales = scales_for(self.network, policy)
        if scales is not None:
            decided["scales"] = sorted(scales.items())
        if (means := means_for(self.network, policy)) is not None:
            decided["means"] = [of_layer.tolist() for of_layer in means]
        return decided | _code(policy, declaration(policy).predictor)

    @property
    def _computed(self) -> dict[str, Any]:
        """Digest fields of the computation without reuse, and of the metric that scores it."""
        metric = METRICS.get(self.network.metric) if self.network.metric else None
        code = _code(metric.counts, metric.value) if metric else {}
        return {
            "archsim": __version__,
            "network": self.network.digest,
            "trace": self.trace.digest,
            "precision": self.precision,
            **self._ranges,
        } | {f"metric {key}": sources for key, sources in code.items()}

    @property
    def _ranges(self) -> dict[str, Any]:
        """Digest field of the ranges that inputs are stored by, where they are integers."""
        scales = self.network.scales
        if scales is None or not self.arch.numbers.is_integer:
            return {}
        return {"ranges": [scales.largest_inputs, scales.largest_hidden]}

    def _run_on(self, arch: ArchSpec, spec: ArchSpec) -> dict[str, Any]:
        """Return the digest fields of `arch` run as machine `spec`, without those that only other machines have."""
        machine = machine_of(spec)
        others = [other for other in all_machines() if other is not machine]
        # The precision of the run decides the number format, so only that is hashed.
        fields = {"precision"} | {field for other in others for field in other.own_fields}
        components = {component for other in others for component in other.own_components}
        tables: dict[str, Any] = dict.fromkeys(("actions", "static", "buffers"), components)
        tables |= {"precision": True, "precisions": True}
        technology = self.technology.at_precision(spec.precision).extended(machine.tables(spec))
        code = _code(machine, *machine.compute.values())
        return (
            self._computed
            | {
                "arch": arch.model_dump(exclude=fields),
                "technology": technology.model_dump(exclude=tables),
                "detail": self.detail,
                "seed": self.seed,
            }
            | {f"machine {key}": sources for key, sources in code.items()}
        )


def _code(*things: object) -> dict[str, list[str]]:
    """Return the digest field of users' code that defines these objects; none for archsim's own."""
    sources = sources_of(*things)
    return {"code": sources} if sources else {}


def _digest(parts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def resolve(
    network: Network | str | Path,
    trace: Trace | str | Path,
    arch: ArchSpec | str | Path,
    policy: Policy | str,
    threshold: Threshold | None,
    precision: str | None,
    detail: Detail,
    seed: int,
) -> RunConfig:
    """Return the configuration of a run, given names or objects; raise a subclass of UsageError if it cannot run.

    precision: None takes that of the machine; a machine of fp16 takes on that of the run.
    """
    policy = policy_from(policy)
    network = load_network(network) if isinstance(network, str | Path) else _known(network, Network, "network")
    trace = load_trace(trace) if isinstance(trace, str | Path) else _known(trace, Trace, "trace")
    arch = load_arch(arch) if isinstance(arch, str | Path) else _known(arch, ArchSpec, "arch")
    precision = arch.precision if precision is None else precision
    arch = arch.at_precision(precision)
    theta, thresholds = _threshold_for(network, policy, threshold)
    technology = load_technology(arch.technology)
    own_ranges = lacks_ranges(network, precision)
    if own_ranges:
        # Before, because a policy may not see what the run's own trace says.
        scales_for(network, policy)
        means_for(network, policy)
        network = ranged(network, trace, precision)
    return RunConfig(network, trace, arch, policy, theta, thresholds, technology, precision, detail, seed, own_ranges)


def _known(value: object, kind: type[T], name: str) -> T:
    if not isinstance(value, kind):
        raise ConfigError(f"{name} is a {type(value).__name__}: need a name, a path, or an archsim {kind.__name__}")
    return value


def _threshold_for(network: Network, policy: Policy, threshold: Threshold | None) -> tuple[Any, list[F32]]:
    """Return θ as plain numbers, and per gate; raise ConfigError if there is none or it does not fit the network."""
    if not policy.needs_threshold:
        return None, zero_thresholds(network)
    if threshold is None:
        threshold = network.thresholds.get(policy.name)
    if threshold is None:
        missing = f"{network.name} has no calibrated threshold for policy {policy.name!r}"
        if network.metric is None:
            raise ConfigError(f"{missing}, and no metric to calibrate one by: give a threshold, a number >= 0")
        raise ConfigError(f"{missing}: give a threshold, a number >= 0, or find one with archsim calibrate")
    thresholds = thresholds_for(network, policy, threshold)
    return plain_threshold(threshold), thresholds
