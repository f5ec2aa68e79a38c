"""The passes of a network under a policy: weights as the machine stores them, ready to begin."""

from __future__ import annotations

from archsim.functional.direction import RunningPass, State
from archsim.functional.scales import scales_for
from archsim.functional.weights import StoredWeights, store_weights
from archsim.ir.network import Network
from archsim.kernels.arrays import F32
from archsim.policies.protocol import PassContext, ReusePolicy


class Passes:
    """What every pass of a network begins with; worth making once for many batches.

    Raises NetworkError for a weight beyond the range of binary16, ConfigError where a policy lacks scales.
    """

    def __init__(self, network: Network, policy: ReusePolicy, thresholds: list[F32], *, as_half: bool) -> None:
        self.network, self.policy, self.thresholds, self.as_half = network, policy, thresholds, as_half
        self.scales = scales_for(network, policy)
        self.weights: list[list[StoredWeights]] = [
            [store_weights(layer, d, as_half=as_half) for d in layer.directions] for layer in network.layers
        ]

    def begin(self, index: int, direction: int, size: int, start: State | None = None) -> RunningPass:
        """Begin the pass of a (layer, direction) over `size` sequences."""
        layer, weights = self.network.layers[index], self.weights[index][direction]
        context = PassContext(
            weight_ih=weights.weight_ih,
            weight_hh=weights.weight_hh,
            n_gates=layer.cell.n_gates,
            n_units=layer.hidden_size,
            batch=size,
            thresholds=self.thresholds[index],
            place=(index, direction),
            scales=self.scales[index, direction] if self.scales else None,
        )
        return RunningPass(layer, weights, self.policy, context, as_half=self.as_half, start=start)
