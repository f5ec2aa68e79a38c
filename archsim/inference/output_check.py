"""Check of an imported network against outputs that the user has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from archsim.errors import NetworkError, TraceError
from archsim.inference.run import run_inference
from archsim.ir.network import Network
from archsim.kernels.arrays import F32
from archsim.policies import NoReuse
from archsim.reading import require_regular
from archsim.traceio.arrays import read_npz
from archsim.traceio.trace import Trace

TOLERANCE = 1e-2
"""Largest difference of outputs, relative to the largest of them, that rounding of a precision may explain."""


@dataclass(frozen=True)
class KnownOutputs:
    """Input sequences (T, I) and the outputs (T, D·H) that a network should give for them."""

    inputs: tuple[F32, ...]
    outputs: tuple[F32, ...]

    @property
    def largest(self) -> float:
        """Largest magnitude of an output."""
        return max(float(np.abs(y).max()) for y in self.outputs)

    def difference(self, network: Network) -> float:
        """Return the largest difference of the network's outputs without reuse in fp32.

        Raises TraceError for inputs and NetworkError for outputs of another size.
        """
        computed = run_inference(network, Trace.from_arrays(self.inputs), NoReuse(), precision="fp32").outputs
        assert computed is not None, "outputs are kept by default"
        if computed[0].shape[1] != self.outputs[0].shape[1]:
            raise NetworkError(
                f"{network.name} gives {computed[0].shape[1]} outputs per step, the outputs to check have "
                f"{self.outputs[0].shape[1]}"
            )
        return max(float(np.abs(ours - y).max()) for ours, y in zip(computed, self.outputs, strict=True))

    def fits(self, difference: float) -> bool:
        """Return whether a difference is one that rounding may explain."""
        return difference <= TOLERANCE * max(self.largest, 1e-6)


def read_known_outputs(inputs: Path, outputs: Path) -> KnownOutputs:
    """Read two `.npz` files whose arrays are sequences (T, I) and (T, D·H), or batches of them, (B, T, ...).

    Arrays are paired by name if both files have the same names, else in the order of the files.
    Raises TraceError, which names file and array.
    """
    x, y = (_arrays(path) for path in (inputs, outputs))
    if len(x) != len(y):
        raise TraceError(f"{inputs} has {len(x)} arrays, {outputs} {len(y)}: need one array of outputs per array of x")
    names = [(name, name) for name in x] if set(x) == set(y) else list(zip(x, y, strict=True))
    pairs: tuple[list[F32], list[F32]] = ([], [])
    for own, other in names:
        if x[own].shape[:-1] != y[other].shape[:-1]:
            sizes = f"{own} has shape {x[own].shape}, {other} in {outputs} {y[other].shape}"
            raise TraceError(f"{inputs}: {sizes}: need the outputs of every step of every sequence")
        for sequences, array in zip(pairs, (x[own], y[other]), strict=True):
            sequences += list(array if array.ndim == 3 else array[None])
    return KnownOutputs(tuple(pairs[0]), tuple(pairs[1]))


def _arrays(path: Path) -> dict[str, F32]:
    require_regular(path, TraceError, "a .npz file of sequences")
    arrays = read_npz(path)
    for name, array in arrays.items():
        if array.ndim not in (2, 3) or 0 in array.shape:
            raise TraceError(f"{path}: {name} has shape {array.shape}, need (T, features) or (B, T, features)")
        with np.errstate(over="ignore"):
            arrays[name] = array.astype(np.float32)
        if not np.isfinite(arrays[name]).all():
            raise TraceError(f"{path}: {name} holds NaN, infinity or numbers beyond float32, need finite numbers")
    if not arrays:
        raise TraceError(f"{path} holds no arrays, need one per sequence or batch")
    return arrays
