"""Scales of a network's inputs on a calibration trace, with the evidence."""

from __future__ import annotations

from dataclasses import replace

from archsim.inference.measure import measure_scales
from archsim.ir.manifest import ScalesManifest
from archsim.ir.network import Network
from archsim.traceio.trace import Trace


def with_missing_scales(network: Network, trace: Trace, *, precision: str = "fp16") -> Network:
    """Return the network with the scales and means of its inputs on a calibration trace; those that it has stay."""
    known = network.scales
    if known is not None and known.means is not None:
        return network
    measured, _ = with_scales(network, trace, precision=precision)
    if known is None:
        return measured
    assert measured.scales is not None, "just measured"
    return replace(network, scales=replace(known, means=measured.scales.means))


def with_scales(network: Network, trace: Trace, *, precision: str = "fp16") -> tuple[Network, ScalesManifest]:
    """Return the network with the scales of its inputs measured on a calibration trace, and the evidence."""
    scales = measure_scales(network, trace, precision=precision)
    evidence = ScalesManifest(
        trace=trace.name,
        trace_digest=trace.digest,
        sequences=len(trace),
        precision=precision,
        inputs=scales.inputs,
        hidden=scales.hidden,
        means=scales.means,
    )
    return replace(network, scales=scales), evidence
