"""From the choices of a point to a RunConfig; networks, traces and machines are loaded once per process."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from archsim.config.arch import ArchSpec
from archsim.config.load import bundled_archs, load_arch
from archsim.corpora.catalogue import bundled_traces, corpus_traces, load_trace, trace_of
from archsim.errors import ConfigError
from archsim.experiment.run_config import RunConfig, resolve
from archsim.ir.folder import MANIFEST, bundled_networks, load_network, network_folder, read_manifest
from archsim.ir.network import Network
from archsim.policies import policy_from
from archsim.reading import is_there
from archsim.sweeps.choices import Choices
from archsim.traceio.trace import Trace

DEFAULT_ARCH = "epur"
CACHE_SIZE = 8
"""Number of networks, and of traces, that a process keeps in memory."""
ARCH_CACHE_SIZE = 256
"""Number of architectures that a process keeps in memory; they are small."""

Stamp = tuple[tuple[str, int, int], ...]
"""Name, time and size of files; part of a cache's key, so that a changed file is loaded again."""


def resolve_point(choices: Choices) -> RunConfig:
    """Return the configuration of a point's run; raise a subclass of UsageError for a point that cannot run."""
    if "network" not in choices:
        raise ConfigError("network is missing: set it in [axes] or [fixed]")
    name = choices["network"]
    return resolve(
        _network(name),
        _loaded_trace(choices),
        _arch(choices),
        choices.get("policy", "bnn"),
        _threshold(choices),
        choices.get("precision"),
        choices.get("detail", "block"),
        choices.get("seed", 0),
    )


def check_names(points: list[Choices]) -> None:
    """Raise UsageError for an unknown network, trace, architecture or policy, which is a slip and not a result."""
    for key, load in (("network", _network), ("trace", _whole_trace), ("arch", _arch_named), ("policy", policy_from)):
        for name in {point[key]: None for point in points if key in point}:
            load(name)


def choices_digest(choices: Choices) -> str:
    """Return SHA-256 over a point's choices, the digest of a point that cannot be resolved."""
    return hashlib.sha256(json.dumps(choices, sort_keys=True).encode()).hexdigest()


def portable(choices: Choices) -> Choices:
    """Return the choices for a process in another folder: names that are not bundled become absolute paths."""
    named = _named().items()
    paths = {key: Path(choices[key]) for key, known in named if key in choices and choices[key] not in known}
    return choices | {key: str(path.resolve()) for key, path in paths.items() if is_there(path)}


@lru_cache(1)
def _named() -> dict[str, list[str]]:
    """Return the names of networks, traces and architectures that come with the package, by key."""
    return {"network": bundled_networks(), "trace": [*bundled_traces(), *corpus_traces()], "arch": bundled_archs()}


def _stamp(name: str | None) -> Stamp:
    """Return the stamp of the files at a path; an empty one for a name that is no path."""
    if name is None or not is_there(path := Path(name)):
        return ()
    files = [file for file in sorted(path.iterdir()) if file.is_file()] if path.is_dir() else [path]
    return tuple((file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in files)


def _network(name: str) -> Network:
    return _cached_network(name, _stamp(name))


@lru_cache(CACHE_SIZE)
def _cached_network(name: str, stamp: Stamp) -> Network:
    return load_network(name)


def _whole_trace(name: str) -> Trace:
    return _cached_trace(name, _stamp(name))


@lru_cache(CACHE_SIZE)
def _cached_trace(name: str, stamp: Stamp) -> Trace:
    return load_trace(name)


def _loaded_trace(choices: Choices) -> Trace:
    network, trace, split = choices["network"], choices.get("trace"), choices.get("split")
    if trace is not None and split is not None:
        raise ConfigError(f"trace = {trace!r} and split = {split!r}: need one of them")
    return _limited_trace(network, trace, split, choices.get("limit"), _stamp(network) + _stamp(trace))


@lru_cache(CACHE_SIZE)
def _limited_trace(network: str, trace: str | None, split: str | None, limit: int | None, stamp: Stamp) -> Trace:
    whole = trace_of(_network(network), split) if trace is None else _whole_trace(trace)
    return whole.limit(limit)


def _arch(choices: Choices) -> ArchSpec:
    name = choices.get("arch", DEFAULT_ARCH)
    # As JSON, because the cache needs hashable keys, and 1, 1.0 and True must not share one.
    fields = tuple((key, json.dumps(value)) for key, value in choices.items() if key.startswith("arch."))
    return _changed_arch(name, fields, _stamp(name))


def _arch_named(name: str) -> ArchSpec:
    return _changed_arch(name, (), _stamp(name))


@lru_cache(ARCH_CACHE_SIZE)
def _changed_arch(name: str, fields: tuple[tuple[str, str], ...], stamp: Stamp) -> ArchSpec:
    arch = load_arch(name)
    for key, value in fields:
        arch = arch.replace(key.removeprefix("arch."), json.loads(value))
    return arch


def _threshold(choices: Choices) -> Any:
    """Return θ as given, or the θ calibrated for a bound on the loss."""
    if "max_loss" not in choices:
        return choices.get("threshold")
    if "threshold" in choices:
        raise ConfigError("threshold and max_loss are both set: need one of them")
    name, policy, bound = choices["network"], policy_from(choices.get("policy", "bnn")), choices["max_loss"]
    if not policy.needs_threshold:
        return None
    evidence = read_manifest(network_folder(name) / MANIFEST).calibration.get(policy.name)
    points = evidence.points if evidence else ()
    calibrated = {point.max_loss: point.threshold for point in points if point.max_loss is not None}
    if bound not in calibrated:
        known = ", ".join(f"{loss:g}" for loss in calibrated) or "none"
        hint = f"archsim calibrate --network {name} --policy {policy.name} --max-loss {bound} --save --trace TRACE"
        if str(name) in bundled_networks():
            hint += ", on a copy of the network's folder"
        raise ConfigError(f"max_loss = {bound!r}: {name} is calibrated for {known} with {policy.name}; run {hint}")
    return calibrated[bound]
