"""The passes of a workload under a policy, ready to begin."""

from __future__ import annotations

from archsim.inference.cells import State
from archsim.inference.delta_pass import RunningColumns
from archsim.inference.recurrent_pass import Running, RunningPass
from archsim.inference.scales import scales_for
from archsim.inference.weights import store_network
from archsim.ir.network import Network
from archsim.kernels.arrays import F32
from archsim.policies import PassContext, Policy, skips_columns


class Passes:
    """What every pass of a network begins with.

    Raises NetworkError for a weight beyond the range of binary16, ConfigError where a policy lacks scales.
    """

    def __init__(self, network: Network, policy: Policy, thresholds: list[F32], *, fp16: bool) -> None:
        self.network, self.policy, self.thresholds, self.fp16 = network, policy, thresholds, fp16
        self.scales = scales_for(network, policy)
        self.weights = store_network(network, fp16=fp16)

    def begin(self, index: int, direction: int, size: int, start: State | None = None) -> Running:
        """Begin the pass of a (layer, direction) over `size` sequences."""
        layer, weights = self.network.layers[index], self.weights[index][direction]
        policy, theta, fp16 = self.policy, self.thresholds[index], self.fp16
        if skips_columns(policy):
            return RunningColumns(layer, weights, policy, float(theta[0]), size, fp16=fp16, start=start)
        context = PassContext(
            weight_ih=weights.weight_ih,
            weight_hh=weights.weight_hh,
            n_gates=layer.cell.n_gates,
            n_units=layer.hidden_size,
            batch=size,
            thresholds=theta,
            place=(index, direction),
            scales=self.scales[index, direction] if self.scales else None,
        )
        return RunningPass(layer, weights, policy, context, fp16=fp16, start=start)
