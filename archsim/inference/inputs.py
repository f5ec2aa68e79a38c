"""Inputs of the first layer, made from a trace of frames, tokens, text or audio."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from archsim.activity import PassKey
from archsim.errors import TraceError
from archsim.inference.batching import Batch
from archsim.ir.layers import State
from archsim.ir.network import Network
from archsim.kernels.arrays import F32, I64
from archsim.kernels.numerics.fp16 import FP16_MAX, to_fp16
from archsim.traceio.starts import Start
from archsim.traceio.trace import Trace


class Inputs:
    """Inputs of the first layer for each sequence of a trace, computed when asked for.

    Raises TraceError where the trace is not of the kind or width the network takes.
    """

    def __init__(self, network: Network, trace: Trace, *, fp16: bool) -> None:
        trace = prepared(network, trace)
        self.network = network
        self.trace = trace
        self.fp16 = fp16
        self._sequences = trace.sequences
        self.lengths: I64 = np.array([len(s) for s in self._sequences], np.int64)
        if trace.kind == "frames":
            width = self._sequences[0].shape[1]
            if width != network.input_size:
                raise TraceError(
                    f"trace {trace.name} has {width} inputs per step, {network.name} takes {network.input_size}"
                )
        elif network.embedding is None:
            raise TraceError(f"trace {trace.name} holds {trace.kind}, {network.name} takes {_takes(network)}")

    def of(self, sequence: int, steps: slice = slice(None)) -> F32:
        """Return inputs (T, I) of one sequence, or of some of its steps, rounded to what the machine stores."""
        values = self._sequences[sequence][steps]
        frames = values if self.trace.kind == "frames" else self.network.lookup(values)
        return as_stored(f"trace {self.trace.name}: sequence {sequence}", frames, fp16=self.fp16)

    def step_major(self, batch: Batch) -> F32:
        """Return the inputs of a batch, or of a window of it, step-major, (rows, I)."""
        lengths = zip(batch.sequences.tolist(), batch.lengths.tolist(), strict=True)
        return batch.to_step_major([self.of(sequence, slice(batch.start, batch.start + n)) for sequence, n in lengths])


def as_stored(where: str, frames: F32, *, fp16: bool) -> F32:
    """Return numbers rounded to what the machine stores; TraceError with `where` for one that binary16 cannot hold."""
    if not fp16:
        return frames
    largest = max(frames.max(), -frames.min())
    if largest > FP16_MAX:
        scale = "scale the inputs or use precision fp32"
        raise TraceError(f"{where} holds {largest:g}, binary16 ends at {FP16_MAX:g}: {scale}")
    return to_fp16(frames)


def initial_states(network: Network, where: str, starts: Sequence[Start], *, fp16: bool) -> dict[PassKey, State]:
    """Return initial states, h (S, R) and c (S, H), by layer and direction, with h as the machine stores it.

    Raises TraceError with `where` for states of a pass that the encoder does not have, or of another size.
    """
    sizes = {
        (i, d): (y.recurrent_size, y.hidden_size)
        for i, y in enumerate(network.encoder)
        for d in range(len(y.directions))
    }
    states = {}
    for start in starts:
        key = start.layer, start.direction
        what = f"{where}: initial state of (layer {start.layer}, direction {start.direction})"
        if key not in sizes:
            raise TraceError(f"{what}: {network.name} has no such pass, accepted: {', '.join(map(str, sizes))}")
        n_hidden, n_units = sizes[key]
        if start.h.shape[1] != n_hidden:
            raise TraceError(f"{what} has {start.h.shape[1]} units, {network.name} has {n_hidden} there")
        c = start.c
        if c.shape == start.h.shape and not c.any():  # one that was not given is zero, in the shape of h
            c = np.zeros((len(c), n_units), np.float32)
        if c.shape[1] != n_units:
            raise TraceError(f"{what}: c has shape {c.shape}, {network.name} has {n_units} units there")
        states[key] = State(as_stored(what, start.h, fp16=fp16), c)
    return states


def prepared(network: Network, trace: Trace) -> Trace:
    """Return texts as the network's tokens and audio as its frames, any other trace unchanged.

    This is slow, so prepare a trace once for many runs.
    """
    if trace.kind == "text":
        return trace.holding("tokens", _tokens(network, trace))
    if trace.kind == "audio":
        return trace.holding("frames", _frames(network, trace))
    return trace


def _tokens(network: Network, trace: Trace) -> Iterator[I64]:
    encoder = network.embedding.encoder if network.embedding else None
    if encoder is None:
        raise TraceError(f"trace {trace.name} holds text, {network.name} has no vocabulary: it takes {_takes(network)}")
    for i, text in enumerate(trace.sequences):
        ids = encoder.encode(text)
        if ids.size == 0:
            raise TraceError(f"trace {trace.name}: sequence {i} has no token, need at least one word")
        yield ids


def _frames(network: Network, trace: Trace) -> Iterator[F32]:
    front = network.frontend
    if front is None:
        raise TraceError(f"trace {trace.name} holds audio, {network.name} has no front end: it takes {_takes(network)}")
    if trace.sample_rate_hz != front.sample_rate_hz:
        rates = f"{trace.sample_rate_hz} samples per second, {network.name} takes {front.sample_rate_hz}"
        raise TraceError(f"trace {trace.name} has {rates}: resample the recordings")
    for i, samples in enumerate(trace.sequences):
        try:
            yield front.features(samples)
        except TraceError as error:
            raise TraceError(f"trace {trace.name}: sequence {i}: {error}") from None


def _takes(network: Network) -> str:
    return "tokens" if network.embedding else f"frames of {network.input_size} numbers"
