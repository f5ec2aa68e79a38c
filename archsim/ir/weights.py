"""Weights of a network by torch's state-dict names, and the layers made of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from archsim.errors import NetworkError
from archsim.ir.cells import cell_named
from archsim.ir.layers import Layer, make_direction, require_finite
from archsim.ir.manifest import StackManifest
from archsim.kernels.arrays import F32


class Weights(dict[str, F32]):
    """Tensors by name, remembering which were asked for."""

    def __init__(self, where: str, tensors: Mapping[str, F32]) -> None:
        super().__init__(tensors)
        self.where = where
        self.read: set[str] = set()

    def find(self, name: str) -> F32 | None:
        """Return a tensor, or None where there is none of this name."""
        self.read.add(name)
        return super().get(name)

    def need(self, name: str) -> F32:
        """Return a tensor of finite numbers; NetworkError lists what is there."""
        tensor = self.find(name)
        if tensor is None:
            raise NetworkError(f"{self.where}: tensor {name!r} is missing; present: {', '.join(sorted(self))}")
        return require_finite(self.where, name, tensor)


def read_weights(path: Path) -> Weights:
    """Read a safetensors file as float32; NetworkError says what is wrong with it."""
    try:
        tensors = load_file(path)
    except FileNotFoundError:
        raise NetworkError(f"{path} does not exist; a network folder holds network.toml and {path.name}") from None
    except TypeError as error:
        raise NetworkError(f"{path}: {error}; accepted: float16, float32, float64") from None
    except (SafetensorError, ValueError, KeyError, OSError) as error:
        raise NetworkError(f"{path}: not a readable safetensors file: {error}") from None
    return Weights(str(path), {name: np.asarray(values, np.float32) for name, values in tensors.items()})


def stack_layers(weights: Weights, stack: StackManifest) -> list[Layer]:
    """Take the layers of a stack out of a torch state dict, with torch's `_l0`, `_l0_reverse` names."""
    return [_layer(weights, stack, index) for index in range(stack.num_layers)]


def _layer(weights: Weights, stack: StackManifest, index: int) -> Layer:
    cell = cell_named(stack.cell, f"{weights.where}: ")
    name = f"{stack.prefix}l{index}"
    where = f"{weights.where}: {name}"
    directions = []
    for suffix in ("", "_reverse")[: 1 + stack.bidirectional]:
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        arrays = {n: weights.find(f"{stack.prefix}{n}_l{index}{suffix}") for n in names}
        directions.append(make_direction(f"{where}{suffix}", cell, dict(arrays), reverse=bool(suffix)))
    inputs = stack.input_size if index == 0 else stack.hidden_size * len(directions)
    for direction in directions:
        found = (direction.weight_ih.shape[1], direction.weight_hh.shape[1])
        if found != (inputs, stack.hidden_size):
            raise NetworkError(
                f"{where}: weights are for (inputs, units) = {found}, need {(inputs, stack.hidden_size)}"
            )
    return Layer(name, cell, inputs, stack.hidden_size, tuple(directions))
