"""A whole trace through a network under one policy: outputs, predictions, activity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from archsim.errors import TraceError
from archsim.functional.batch import Batch, batches
from archsim.functional.direction import StoredWeights, run_direction, store_weights
from archsim.functional.head import accuracy, predict
from archsim.functional.thresholds import Threshold, thresholds_per_gate
from archsim.ir.network import Network
from archsim.kernels.arrays import F32, I64, U8
from archsim.kernels.half import HALF_MAX, to_half
from archsim.policies.protocol import ReusePolicy
from archsim.traceio.activity import ActivityRecord, PassShape
from archsim.traceio.trace import Trace

Tick = Callable[[int], None]
"""Called with the number of sequences just finished."""


@dataclass(frozen=True)
class FunctionalResult:
    """What the network computed."""

    activity: ActivityRecord
    outputs: list[F32] | None
    """Top layer, (T, D·H) per sequence; None where not asked for."""
    predictions: list[int] | None
    """One class per sequence; None for a network without a head."""
    metric_value: float | None
    """The task metric against the trace's targets; None where either is missing."""


def prepare_inputs(network: Network, trace: Trace) -> tuple[Callable[[int], F32], I64]:
    """Return a function giving the first layer's inputs (T, I) of a sequence, and all lengths.

    Raises TraceError where the trace is not of the kind or width the network takes.
    """
    sequences: Sequence[Any] = _tokens_of(network, trace) if trace.kind == "text" else trace.sequences
    lengths = np.array([len(s) for s in sequences], np.int64)
    if trace.kind == "frames":
        width = sequences[0].shape[1]
        if width != network.input_size:
            raise TraceError(f"trace {trace.name} has {width} inputs a step, {network.name} takes {network.input_size}")
        return lambda i: sequences[i], lengths
    if network.embedding is None:
        raise TraceError(
            f"trace {trace.name} holds {trace.kind}, {network.name} takes frames of {network.input_size} numbers"
        )
    return lambda i: network.lookup(sequences[i]), lengths


def _tokens_of(network: Network, trace: Trace) -> list[I64]:
    if network.embedding is None or network.embedding.vocabulary is None:
        raise TraceError(f"trace {trace.name} holds text, {network.name} has no vocabulary: it takes {_takes(network)}")
    tokens = [network.embedding.vocabulary.encode(text) for text in trace.sequences]
    for i, ids in enumerate(tokens):
        if ids.size == 0:
            raise TraceError(f"trace {trace.name}: sequence {i} has no token, need at least one word")
    return tokens


def _takes(network: Network) -> str:
    return "tokens" if network.embedding else f"frames of {network.input_size} numbers"


def run_functional(
    network: Network,
    trace: Trace,
    policy: ReusePolicy,
    threshold: Threshold = 0.0,
    *,
    precision: str = "fp16",
    keep_outputs: bool = True,
    tick: Tick | None = None,
) -> FunctionalResult:
    """Run every sequence of `trace` through the recurrent layers of `network` (SEMANTICS 1).

    Memory grows with one bit per neuron evaluation, and with the outputs if they are kept.
    """
    as_half = precision == "fp16"
    inputs_of, lengths = prepare_inputs(network, trace)
    thresholds = thresholds_per_gate(network, threshold)
    weights = [[store_weights(layer, d, as_half) for d in layer.directions] for layer in network.layers]
    shapes = pass_shapes(network)
    reuses = policy.name != "none"
    activity = (ActivityRecord.empty if reuses else ActivityRecord.without_reuse)(lengths, shapes)
    outputs: list[F32 | None] = [None] * len(trace)
    predictions: list[int] = [0] * len(trace)
    for batch in batches(lengths):
        hidden = [_stored_input(trace, int(i), inputs_of(int(i)), as_half) for i in batch.sequences]
        for index in range(len(network.layers)):
            hidden = _run_layer(
                network,
                index,
                weights[index],
                hidden,
                batch,
                policy,
                thresholds[index],
                as_half,
                activity if reuses else None,
            )
        for sequence, top in zip(batch.sequences.tolist(), hidden, strict=True):
            if keep_outputs:
                outputs[sequence] = np.ascontiguousarray(top)
            if network.head is not None:
                predictions[sequence] = predict(network.head, top)
        if tick is not None:
            tick(batch.sequences.size)
    has_metric = network.metric is not None and network.head is not None and trace.targets is not None
    return FunctionalResult(
        activity=activity,
        outputs=outputs if keep_outputs else None,  # type: ignore[arg-type]
        predictions=predictions if network.head is not None else None,
        metric_value=accuracy(predictions, trace.targets or ()) if has_metric else None,
    )


def pass_shapes(network: Network) -> tuple[PassShape, ...]:
    """The passes over a sequence in machine order: layer by layer, one direction after the other."""
    return tuple(
        PassShape(index, d, layer.cell.n_gates, layer.hidden_size, layer.joint_size)
        for index, layer in enumerate(network.layers)
        for d in range(len(layer.directions))
    )


def _stored_input(trace: Trace, sequence: int, values: F32, as_half: bool) -> F32:
    if not as_half:
        return values
    if np.abs(values).max() > HALF_MAX:
        raise TraceError(
            f"trace {trace.name}: sequence {sequence} holds {np.abs(values).max():g}, binary16 ends at {HALF_MAX:g}: "
            "scale the inputs or use precision fp32"
        )
    return to_half(values)


def _run_layer(
    network: Network,
    index: int,
    weights: list[StoredWeights],
    inputs: list[F32],
    batch: Batch,
    policy: ReusePolicy,
    thresholds: F32,
    as_half: bool,
    activity: ActivityRecord | None,
) -> list[F32]:
    layer = network.layers[index]
    sides = []
    for d, direction in enumerate(layer.directions):
        packed = batch.pack(inputs, reverse=direction.reverse)
        result, decisions = run_direction(layer, weights[d], packed, batch, policy, thresholds, as_half)
        sides.append(batch.unpack(result, reverse=direction.reverse))
        if activity is not None:
            _record(activity, index, d, batch, decisions)
    return sides[0] if len(sides) == 1 else [np.concatenate(parts, axis=1) for parts in zip(*sides, strict=True)]


def _record(activity: ActivityRecord, layer: int, direction: int, batch: Batch, decisions: U8) -> None:
    bits = activity.bits[layer, direction]
    for position, sequence in enumerate(batch.sequences.tolist()):
        first, last = activity.offsets[sequence], activity.offsets[sequence + 1]
        bits[first:last] = decisions[batch.rows_of(position)]
