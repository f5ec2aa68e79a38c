"""Weights of a network by torch's state-dict names, and the layers made of them."""

from __future__ import annotations

from collections.abc import Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, deserialize

from archsim.errors import NetworkError
from archsim.ir.cells import cell_named
from archsim.ir.layers import WEIGHT_NAMES, Layer, make_direction, require_finite
from archsim.ir.manifest import StackManifest
from archsim.kernels.arrays import F32
from archsim.reading import is_there, read_bytes


class NamedTensors(dict[str, F32]):
    """Tensors by name, with a record of the names that were read."""

    def __init__(self, where: str, tensors: Mapping[str, F32]) -> None:
        super().__init__(tensors)
        self.where = where
        self.read: set[str] = set()

    def find(self, name: str) -> F32 | None:
        """Return a tensor, or None if there is none of this name."""
        self.read.add(name)
        return super().get(name)

    def need(self, name: str) -> F32:
        """Return a tensor of finite numbers; raise NetworkError with the present names if it is missing."""
        tensor = self.find(name)
        if tensor is None:
            raise NetworkError(f"{self.where}: tensor {name!r} is missing; present: {', '.join(sorted(self))}")
        return require_finite(self.where, name, tensor)


MOST_WEIGHT_BYTES = 1 << 36
"""Bytes of the largest file of weights that is read, 64 GiB."""
_TYPES = {"F16": np.float16, "BF16": np.uint16, "F32": np.float32, "F64": np.float64}


def read_weights(path: Path) -> NamedTensors:
    """Read a safetensors file as float32; NetworkError names file and tensor where that would lose something."""
    if not is_there(path):
        raise NetworkError(f"{path} does not exist; a network folder holds network.toml and {path.name}")
    stored = stored_tensors(path)
    return NamedTensors(str(path), {name: as_float32(f"{path}: tensor {name!r}", **stored[name]) for name in stored})


def stored_tensors(path: Path) -> dict[str, dict[str, Any]]:
    """Return the tensors of a safetensors file, sorted by name, as `dtype`, `shape` and `data`, not converted yet."""
    data = read_bytes(path, NetworkError, "a safetensors file", MOST_WEIGHT_BYTES)
    try:
        # The library gives them in an order that changes from process to process.
        return dict(sorted(deserialize(data), key=itemgetter(0)))
    except (SafetensorError, ValueError, TypeError) as error:
        raise NetworkError(f"{path}: not a readable safetensors file: {error}") from None


def as_float32(where: str, dtype: str, shape: list[int], data: bytearray) -> F32:
    """Return a tensor's numbers; NetworkError for a type that is none of floating point, or a number beyond float32."""
    if dtype not in _TYPES:
        raise NetworkError(f"{where} is of type {dtype}, accepted: {', '.join(_TYPES)} (floating point)")
    try:
        values = np.frombuffer(data, _TYPES[dtype]).reshape(shape)
    except ValueError:  # of dimensions that numpy does not have
        raise NetworkError(f"{where} has {len(shape)} dimensions, which no array has, need one or two") from None
    if dtype == "BF16":  # the upper half of a float32
        return (values.astype(np.uint32) << 16).view(np.float32)
    with np.errstate(over="ignore"):
        converted = np.asarray(values, np.float32)
    beyond = np.isinf(converted) & np.isfinite(values)
    if beyond.any():
        raise NetworkError(f"{where} holds {values[beyond][0]:g}, which float32 cannot hold")
    return converted


def stack_layers(tensors: NamedTensors, stack: StackManifest) -> list[Layer]:
    """Take the layers of a stack out of a torch state dict, with torch's `_l0`, `_l0_reverse` names."""
    return [_layer(tensors, stack, index) for index in range(stack.num_layers)]


def _layer(tensors: NamedTensors, stack: StackManifest, index: int) -> Layer:
    cell = cell_named(stack.cell, f"{tensors.where}: ")
    name = f"{stack.prefix}l{index}"
    where = f"{tensors.where}: {name}"
    directions = []
    for suffix in ("", "_reverse")[: 1 + stack.bidirectional]:
        arrays = {n: tensors.find(f"{stack.prefix}{n}_l{index}{suffix}") for n in WEIGHT_NAMES}
        directions.append(make_direction(f"{where}{suffix}", cell, dict(arrays), reverse=bool(suffix)))
    outputs = stack.proj_size or stack.hidden_size
    inputs = stack.input_size if index == 0 else outputs * len(directions)
    for direction in directions:
        units = direction.weight_hh.shape[0] // cell.n_gates
        sizes, need = (direction.weight_ih.shape[1], units), (inputs, stack.hidden_size)
        if sizes != need:
            raise NetworkError(f"{where}: weights are for (inputs, units) = {sizes}, need {need}")
        if direction.weight_hh.shape[1] != outputs:
            raise NetworkError(
                f"{where}: weights of the projection are for {direction.weight_hh.shape[1]} outputs, need {outputs}"
            )
    return Layer(name, cell, inputs, stack.hidden_size, tuple(directions), stack.proj_size)
