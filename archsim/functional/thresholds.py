"""θ given as one number, one per layer, or one per (layer, gate), brought to one form."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from archsim.errors import ConfigError
from archsim.ir.network import Network
from archsim.kernels.arrays import F32

Threshold = float | Sequence[float] | Sequence[Sequence[float]]


def thresholds_per_gate(network: Network, threshold: Threshold) -> list[F32]:
    """Return one (G,) float32 array per layer; ConfigError for a negative, NaN or ill-shaped θ."""
    layers = network.layers
    if isinstance(threshold, int | float | np.number):
        per_layer: Sequence[float] | Sequence[Sequence[float]] = [float(threshold)] * len(layers)
    else:
        per_layer = threshold
    if len(per_layer) != len(layers):
        raise ConfigError(
            f"threshold: {len(per_layer)} entries for {len(layers)} layers, need one number or one entry a layer"
        )
    result = []
    for layer, value in zip(layers, per_layer, strict=True):
        gates = np.asarray(value, np.float32)
        if gates.ndim > 1 or (gates.ndim == 1 and gates.size != layer.cell.n_gates):
            raise ConfigError(
                f"threshold: {value!r} for {layer.name}, need one number or {layer.cell.n_gates}, one a gate"
            )
        if not (gates >= 0).all():
            raise ConfigError(f"threshold = {value!r}: need a number >= 0")
        result.append(np.broadcast_to(gates, layer.cell.n_gates).astype(np.float32))
    return result
