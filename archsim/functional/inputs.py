"""From a trace to the numbers the first layer takes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from archsim.errors import TraceError
from archsim.ir.network import Network
from archsim.kernels.arrays import F32, I64
from archsim.kernels.half import HALF_MAX, to_half
from archsim.traceio.trace import Trace


class Inputs:
    """The first layer's inputs of each sequence, made when asked for.

    Raises TraceError where the trace is not of the kind or width the network takes.
    """

    def __init__(self, network: Network, trace: Trace, *, as_half: bool) -> None:
        trace = tokenized(network, trace)
        self.network, self.trace, self.as_half = network, trace, as_half
        self._sequences = trace.sequences
        self.lengths: I64 = np.array([len(s) for s in self._sequences], np.int64)
        if trace.kind == "frames":
            width = self._sequences[0].shape[1]
            if width != network.input_size:
                raise TraceError(
                    f"trace {trace.name} has {width} inputs a step, {network.name} takes {network.input_size}"
                )
        elif network.embedding is None:
            raise TraceError(f"trace {trace.name} holds {trace.kind}, {network.name} takes {_takes(network)}")

    def of(self, sequence: int) -> F32:
        """Inputs (T, I) of one sequence as the machine stores them, float32."""
        values = self._sequences[sequence]
        frames = values if self.trace.kind == "frames" else self.network.lookup(values)
        if not self.as_half:
            return frames
        largest = np.abs(frames).max()
        if largest > HALF_MAX:
            raise TraceError(
                f"trace {self.trace.name}: sequence {sequence} holds {largest:g}, binary16 ends at {HALF_MAX:g}: "
                "scale the inputs or use precision fp32"
            )
        return to_half(frames)


def tokenized(network: Network, trace: Trace) -> Trace:
    """Return a text trace as tokens of the network's vocabulary, any other as it is; worth doing once for many runs."""
    if trace.kind != "text":
        return trace
    if network.embedding is None or network.embedding.vocabulary is None:
        raise TraceError(f"trace {trace.name} holds text, {network.name} has no vocabulary: it takes {_takes(network)}")
    tokens = tuple(network.embedding.vocabulary.encode(text) for text in trace.sequences)
    for i, ids in enumerate(tokens):
        if ids.size == 0:
            raise TraceError(f"trace {trace.name}: sequence {i} has no token, need at least one word")
    return replace(trace, kind="tokens", sequences=tokens)


def _takes(network: Network) -> str:
    return "tokens" if network.embedding else f"frames of {network.input_size} numbers"
