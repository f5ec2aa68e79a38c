"""Network folders: `network.toml`, `weights.safetensors` with torch's state-dict names, and a vocabulary."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file

from archsim.errors import NetworkError, UnknownNameError
from archsim.files import bundled_folder
from archsim.ir.cells import cell_named
from archsim.ir.layers import Layer, make_direction, require_finite
from archsim.ir.network import Embedding, Head, Network
from archsim.ir.text import Vocabulary
from archsim.kernels.arrays import F32
from archsim.validation import FrozenRecord, explain

MANIFEST, WEIGHTS = "network.toml", "weights.safetensors"


class Weights(dict[str, F32]):
    """Tensors by name, remembering which were asked for."""

    def __init__(self, tensors: Mapping[str, F32]) -> None:
        super().__init__(tensors)
        self.read: set[str] = set()

    def find(self, name: str) -> F32 | None:
        """Return a tensor, or None where there is none of this name."""
        self.read.add(name)
        return super().get(name)


class StackManifest(FrozenRecord):
    """A stack of equal recurrent layers, as one torch module holds them."""

    prefix: str
    cell: str
    input_size: int = Field(ge=1, strict=True)
    hidden_size: int = Field(ge=1, strict=True)
    num_layers: int = Field(default=1, ge=1, strict=True)
    bidirectional: bool = Field(default=False, strict=True)


class EmbeddingManifest(FrozenRecord):
    """Names of the embedding table and of the vocabulary file beside it."""

    weight: str
    vocabulary: str | None = None


class HeadManifest(FrozenRecord):
    """A classifier on the mean of the top layer's outputs."""

    kind: Literal["mean-linear"]
    weight: str
    bias: str


class Manifest(FrozenRecord):
    """Everything `network.toml` may say."""

    name: str
    description: str = ""
    provenance: str = ""
    metric: Literal["accuracy"] | None = None
    default_trace: str | None = None
    stacks: tuple[StackManifest, ...] = Field(min_length=1)
    embedding: EmbeddingManifest | None = None
    head: HeadManifest | None = None
    thresholds: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = Field(default_factory=dict)


def bundled_networks() -> list[str]:
    """Names of the networks installed with the package."""
    return sorted(path.parent.name for path in bundled_folder("models").glob(f"*/{MANIFEST}"))


def load_network(name: str | Path) -> Network:
    """Load a bundled network by name, or a network folder by path.

    Raises UnknownNameError for neither, NetworkError naming file and field for a broken folder.
    """
    if str(name) in bundled_networks():
        return _read_folder(bundled_folder("models") / str(name))
    if Path(name).is_file():
        raise NetworkError(f"{name} is a file: a network is a folder with {MANIFEST} and {WEIGHTS}")
    if not Path(name).is_dir():
        raise UnknownNameError("network", str(name), bundled_networks(), also=f"a folder with {MANIFEST}")
    return _read_folder(Path(name))


def _read_folder(folder: Path) -> Network:
    manifest = _read_manifest(folder / MANIFEST)
    weights = _read_weights(folder / WEIGHTS)
    layers = tuple(
        layer_from_state(f"{folder / WEIGHTS}: ", weights, stack, index)
        for stack in manifest.stacks
        for index in range(stack.num_layers)
    )
    embedding, head = _embedding(folder, manifest.embedding, weights), _head(folder, manifest.head, weights)
    unread = sorted(set(weights) - weights.read)
    if unread:
        raise NetworkError(f"{folder / WEIGHTS}: {', '.join(unread)} are not in {MANIFEST}: more layers or directions?")
    return Network(
        name=manifest.name,
        layers=layers,
        embedding=embedding,
        head=head,
        metric=manifest.metric,
        thresholds=manifest.thresholds,
        description=manifest.description,
        provenance=manifest.provenance,
        default_trace=manifest.default_trace,
    )


def _read_manifest(path: Path) -> Manifest:
    try:
        return Manifest.model_validate(tomllib.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        raise NetworkError(f"{path} does not exist; a network folder holds {MANIFEST} and {WEIGHTS}") from None
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise NetworkError(f"{path}: not TOML: {error}") from None
    except ValidationError as error:
        raise NetworkError(f"{path}: {explain(error, Manifest)}") from None


def _read_weights(path: Path) -> Weights:
    try:
        tensors = load_file(path)
    except FileNotFoundError:
        raise NetworkError(f"{path} does not exist; a network folder holds {MANIFEST} and {WEIGHTS}") from None
    except TypeError as error:
        raise NetworkError(f"{path}: {error}; accepted: float16, float32, float64") from None
    except (SafetensorError, ValueError, KeyError, OSError) as error:
        raise NetworkError(f"{path}: not a readable safetensors file: {error}") from None
    return Weights({name: np.asarray(values, np.float32) for name, values in tensors.items()})


def layer_from_state(where: str, state: Weights, stack: StackManifest, index: int) -> Layer:
    """Take one layer of a stack out of a torch state dict, with torch's `_l0`, `_l0_reverse` names."""
    cell = cell_named(stack.cell, where)
    name = f"{stack.prefix}l{index}"
    directions = []
    for suffix in ("", "_reverse")[: 1 + stack.bidirectional]:
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        arrays = {n: state.find(f"{stack.prefix}{n}_l{index}{suffix}") for n in names}
        directions.append(make_direction(f"{where}{name}{suffix}", cell, dict(arrays), reverse=bool(suffix)))
    inputs = stack.input_size if index == 0 else stack.hidden_size * len(directions)
    layer = Layer(name, cell, inputs, stack.hidden_size, tuple(directions))
    for direction in directions:
        found = (direction.weight_ih.shape[1], direction.weight_hh.shape[1])
        if found != (inputs, stack.hidden_size):
            raise NetworkError(
                f"{where}{name}: weights are for (inputs, units) = {found}, need {(inputs, stack.hidden_size)}"
            )
    return layer


def _tensor(folder: Path, weights: Weights, name: str) -> F32:
    tensor = weights.find(name)
    if tensor is None:
        raise NetworkError(f"{folder / WEIGHTS}: tensor {name!r} is missing; present: {', '.join(sorted(weights))}")
    return require_finite(f"{folder / WEIGHTS}", name, tensor)


def _embedding(folder: Path, manifest: EmbeddingManifest | None, weights: Weights) -> Embedding | None:
    if manifest is None:
        return None
    table = _tensor(folder, weights, manifest.weight)
    if manifest.vocabulary is None:
        return Embedding(table)
    path = folder / manifest.vocabulary
    if path.parent != folder or not path.is_file():
        raise NetworkError(
            f"{folder / MANIFEST}: embedding.vocabulary = {manifest.vocabulary!r}: no such file in the folder"
        )
    try:
        vocabulary = Vocabulary(path.read_text("utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise NetworkError(f"{path}: not a readable vocabulary: {error}") from None
    if len(vocabulary) != table.shape[0]:
        raise NetworkError(f"{path}: {len(vocabulary)} entries, the embedding has {table.shape[0]} rows")
    return Embedding(table, vocabulary)


def _head(folder: Path, manifest: HeadManifest | None, weights: Weights) -> Head | None:
    if manifest is None:
        return None
    return Head(_tensor(folder, weights, manifest.weight), _tensor(folder, weights, manifest.bias))
