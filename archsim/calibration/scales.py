"""Scales of a network's inputs on a calibration trace, with the evidence."""

from __future__ import annotations

from dataclasses import fields, replace

from archsim.inference.measure import measure_scales
from archsim.ir.manifest import ScalesManifest
from archsim.ir.network import Network, Scales
from archsim.traceio.trace import Trace


def with_missing_scales(network: Network, trace: Trace, *, precision: str = "fp16") -> Network:
    """Return the network with everything that `measure_scales` measures, on a calibration trace; what it has stays."""
    known = {} if network.scales is None else vars(network.scales)
    known = {name: value for name, value in known.items() if value is not None}
    if len(known) == len(fields(Scales)):
        return network
    return replace(network, scales=replace(measure_scales(network, trace, precision=precision), **known))


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
        largest_inputs=scales.largest_inputs,
        largest_hidden=scales.largest_hidden,
        means=scales.means,
    )
    return replace(network, scales=scales), evidence
