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
        by_shell = "archsim calibrate --network FOLDER --trace TRACE --scales-only --save"
        in_python = "dataclasses.replace(network, scales=archsim.measure_scales(network, trace))"
        raise ConfigError(f"{missing}: measure them with {by_shell}, or in Python {in_python}")
    by_layer = enumerate(zip(network.scales.inputs, network.scales.hidden, strict=True))
    return {(layer, d): (x, h) for layer, (x, sides) in by_layer for d, h in enumerate(sides)}
