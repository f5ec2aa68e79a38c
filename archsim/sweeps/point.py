"""From what a point chooses to a setting that can be run; things with a name are loaded once a process."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from typing import Any

from archsim.config.load import load_arch
from archsim.config.specs import ArchSpec
from archsim.corpora.catalogue import load_trace, trace_of
from archsim.errors import ConfigError
from archsim.experiment.setting import Setting, resolve
from archsim.ir.folder import MANIFEST, load_network, network_folder, read_manifest
from archsim.ir.network import Network
from archsim.policies import policy_from
from archsim.sweeps.grid import Choices
from archsim.traceio.trace import Trace

KEPT = 8
"""Networks and traces a process keeps in memory."""


def resolve_point(choices: Choices) -> Setting:
    """Check a point as `simulate` checks its arguments; raises subclasses of UsageError for one that cannot run."""
    if "network" not in choices:
        raise ConfigError("network is missing: set it in [axes] or [fixed]")
    network = _network(str(choices["network"]))
    return resolve(
        network,
        _trace(str(choices["network"]), choices.get("trace"), choices.get("split"), choices.get("limit")),
        _arch(choices),
        str(choices.get("policy", "bnn")),
        _threshold(choices),
        choices.get("precision", "fp16"),
        choices.get("detail", "block"),
        choices.get("seed", 0),
    )


def check_names(points: list[Choices]) -> None:
    """Raise UsageError for a network, trace, architecture or policy that is not there: a slip, not a result."""
    for key, load in (("network", _network), ("trace", load_trace), ("arch", load_arch), ("policy", policy_from)):
        for name in {str(point[key]): None for point in points if key in point}:
            load(name)


def choices_digest(choices: Choices) -> str:
    """SHA-256 over what a point chooses: the name of one that cannot be resolved."""
    return hashlib.sha256(json.dumps(choices, sort_keys=True).encode()).hexdigest()


@lru_cache(KEPT)
def _network(name: str) -> Network:
    return load_network(name)


@lru_cache(KEPT)
def _trace(network: str, trace: str | None, split: str | None, limit: int | None) -> Trace:
    if trace is not None and split is not None:
        raise ConfigError(f"trace = {trace!r} and split = {split!r}: need one of them")
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int)):
        raise ConfigError(f"limit = {limit!r}: need a whole number >= 1")
    found = trace_of(_network(network), split) if trace is None else load_trace(trace)
    return found.limit(limit)


def _arch(choices: Choices) -> ArchSpec:
    arch = load_arch(choices.get("arch", "epur"))
    for key, value in choices.items():
        if key.startswith("arch."):
            arch = arch.replace(key.removeprefix("arch."), value)
    return arch


def _threshold(choices: Choices) -> Any:
    """θ as given, or the calibrated one of a bound on the loss."""
    if "max_loss" not in choices:
        return choices.get("threshold")
    if "threshold" in choices:
        raise ConfigError("threshold and max_loss are both set: need one of them")
    name, policy, bound = str(choices["network"]), policy_from(str(choices.get("policy", "bnn"))), choices["max_loss"]
    if not policy.needs_threshold:
        return None
    evidence = read_manifest(network_folder(name) / MANIFEST).calibration.get(policy.name)
    found = {point.max_loss: point.threshold for point in evidence.points} if evidence else {}
    if bound not in found:
        known = ", ".join(f"{loss:g}" for loss in found) or "none"
        hint = f"archsim calibrate --network {name} --policy {policy.name} --max-loss {bound} --save"
        raise ConfigError(f"max_loss = {bound!r}: {name} is calibrated for {known} with {policy.name}; run {hint}")
    return found[bound]
