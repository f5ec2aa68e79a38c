"""Parameters of a policy on a network: θ per gate, and the scales and means of inputs for policies that need them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from archsim.activity import PassKey
from archsim.errors import ConfigError
from archsim.inference.precision import is_integer, lacks_ranges
from archsim.ir.layers import Layer
from archsim.ir.network import Network
from archsim.kernels.arrays import F32
from archsim.policies import Policy, declaration, kind_of, skips_columns

Threshold = float | Sequence[float] | Sequence[Sequence[float]]
"""One number, one number per layer, or one per (layer, gate)."""


def thresholds_per_gate(network: Network, threshold: Threshold) -> list[F32]:
    """Return one (G,) float32 array per layer; ConfigError for a negative, infinite, NaN or ill-shaped θ."""
    layers = network.layers
    if isinstance(threshold, str | bool):
        raise ConfigError(f"threshold = {threshold!r}: need a number >= 0")
    per_layer: list[object] = list(threshold) if _is_list(threshold) else [threshold] * len(layers)  # type: ignore[arg-type]
    if len(per_layer) != len(layers):
        raise ConfigError(
            f"threshold: {len(per_layer)} entries for {len(layers)} layers, need one number or one entry per layer"
        )
    return [_per_gate(layer, value) for layer, value in zip(layers, per_layer, strict=True)]


def thresholds_for(network: Network, policy: Policy, threshold: Threshold) -> list[F32]:
    """Return θ per gate as `thresholds_per_gate` does; ConfigError also if gates differ that share their columns."""
    check_columns(network, policy)
    per_gate = thresholds_per_gate(network, threshold)
    if not kind_of(policy).gates_differ and _is_list(threshold) and any(map(_is_list, threshold)):  # type: ignore[arg-type]
        raise ConfigError(
            f"threshold = {threshold!r}: policy {policy.name!r} skips columns, which all gates of a layer share: "
            "need one number, or one per layer"
        )
    return per_gate


def check_columns(network: Network, policy: Policy) -> None:
    """Raise ConfigError where a policy skips columns and the gates of a layer do not read the same inputs.

    One list of changed inputs serves all gates of a step. That of r ⊙ h would be known only after gate r.
    """
    for layer in network.layers if skips_columns(policy) else ():
        if layer.cell.resets_before:
            raise ConfigError(
                f"{network.name}, {layer.name}: policy {policy.name!r} skips columns of [x; h], which all gates must "
                f"read; the last gate of a {layer.cell.name} reads r ⊙ h: need a policy that reuses neurons, as bnn"
            )


def zero_thresholds(network: Network) -> list[F32]:
    """Return θ = 0 for every gate, for policies that have no θ."""
    return [np.zeros(layer.cell.n_gates, np.float32) for layer in network.layers]


def plain_threshold(threshold: Any) -> Any:
    """Return θ as JSON holds it: a float, or nested lists of floats."""
    return [plain_threshold(part) for part in threshold] if _is_list(threshold) else float(threshold)


def needs_measures(policy: Policy, precision: str) -> bool:
    """Return whether a run needs what `measure_scales` measures: for the policy, or for codes of its inputs."""
    return declaration(policy).needs_measures or is_integer(precision)


def lacks_measures(network: Network, policy: Policy, precision: str) -> bool:
    """Return whether a run needs scales, means or ranges that the network does not have; `measure_scales` gives all."""
    declared, scales = declaration(policy), network.scales
    if scales is None:
        return needs_measures(policy, precision)
    return (declared.needs_means and scales.means is None) or lacks_ranges(network, precision)


def scales_for(network: Network, policy: Policy) -> dict[PassKey, tuple[float, float]] | None:
    """Return the scales of x and h per (layer, direction); None for a policy that needs none.

    Raises ConfigError where a policy needs scales that nobody has measured.
    """
    if not declaration(policy).needs_scales:
        return None
    if network.scales is None:
        raise _unmeasured(network, "scales", f"which policy {policy.name!r} quantises inputs by")
    per_layer = enumerate(zip(network.scales.inputs, network.scales.hidden, strict=True))
    return {(layer, d): (x, h) for layer, (x, directions) in per_layer for d, h in enumerate(directions)}


def means_for(network: Network, policy: Policy) -> list[F32] | None:
    """Return the means of x per layer, (I,) each; None for a policy that needs none.

    Raises ConfigError where a policy needs means that nobody has measured.
    """
    if not declaration(policy).needs_means:
        return None
    if network.scales is None or network.scales.means is None:
        raise _unmeasured(network, "means of inputs", f"which policy {policy.name!r} centres them by")
    return [np.array(of_layer, np.float32) for of_layer in network.scales.means]


def _unmeasured(network: Network, what: str, use: str) -> ConfigError:
    by_shell = "archsim calibrate --network FOLDER --trace TRACE --scales-only --save"
    in_python = "dataclasses.replace(network, scales=archsim.measure_scales(network, trace))"
    return ConfigError(f"{network.name} has no {what}, {use}: measure them with {by_shell}, or in Python {in_python}")


def _is_list(threshold: object) -> bool:
    """Return whether θ is given in parts: as a sequence, or an array or tensor of a dimension or more."""
    return isinstance(threshold, Sequence) or getattr(threshold, "ndim", 0) > 0


def _per_gate(layer: Layer, value: object) -> F32:
    try:
        with np.errstate(over="ignore"):
            gates = np.asarray(value, np.float32)
    except (TypeError, ValueError):
        raise ConfigError(f"threshold = {value!r} for {layer.name}: need a number >= 0") from None
    n_gates = layer.cell.n_gates
    if gates.shape not in ((), (n_gates,)):
        raise ConfigError(f"threshold: {value!r} for {layer.name}, need one number or {n_gates}, one per gate")
    if not (np.isfinite(gates) & (gates >= 0)).all():
        raise ConfigError(f"threshold = {value!r}: need a number >= 0 that float32 can hold")
    return np.broadcast_to(gates, n_gates).astype(np.float32)
