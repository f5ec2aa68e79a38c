"""How large inputs are, for the policies that quantise them."""

from __future__ import annotations

from archsim.errors import ConfigError
from archsim.ir.network import Network
from archsim.policies import Policy

Place = tuple[int, int]


def scales_for(network: Network, policy: Policy) -> dict[Place, tuple[float, float]] | None:
    """Return the scales of x and h by (layer, direction); None for a policy that needs none.

    Raises ConfigError where a policy needs scales that nobody has measured.
    """
    if not getattr(policy, "needs_scales", False):
        return None
    if network.scales is None:
        missing = f"{network.name} has no scales, which policy {policy.name!r} quantises inputs by"
        raise ConfigError(f"{missing}: archsim calibrate --save measures them, and so does archsim.measure_scales")
    by_layer = enumerate(zip(network.scales.inputs, network.scales.hidden, strict=True))
    return {(layer, d): (x, h) for layer, (x, sides) in by_layer for d, h in enumerate(sides)}
