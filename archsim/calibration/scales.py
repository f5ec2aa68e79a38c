"""Scales of a network's inputs on a calibration trace, with the evidence."""

from __future__ import annotations

from dataclasses import replace

from archsim.inference.measure import measure_scales
from archsim.ir.manifest import ScalesManifest
from archsim.ir.network import Network
from archsim.traceio.trace import Trace


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
    )
    return replace(network, scales=scales), evidence
