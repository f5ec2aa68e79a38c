"""Writing into network folders: calibrations, scales, whole networks."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import tomlkit
from numpy.typing import NDArray
from safetensors.numpy import save_file

from archsim.errors import NetworkError
from archsim.files import bundled_folder, check_writable, write_new_folder, write_whole
from archsim.ir.folder import MANIFEST, WEIGHTS, read_manifest
from archsim.ir.heads import AttentionDecoder, CtcHead, MeanClassifier
from archsim.ir.layers import Layer
from archsim.ir.manifest import CalibrationManifest, Manifest, ScalesManifest, StackManifest
from archsim.ir.network import Network
from archsim.ir.text import Vocabulary
from archsim.kernels.arrays import F32

VOCABULARY = "vocab.txt"


def check_saving(folder: Path, *, force: bool = False) -> Path:
    """Return the `network.toml` that will be changed. Call it before long work.

    Raises NetworkError for a bundled network unless `force`, and UsageError for a file that cannot be written.
    """
    path = folder / MANIFEST
    if not force and folder.resolve().is_relative_to(bundled_folder("models").resolve()):
        here = f"{folder} is bundled with archsim and is not changed"
        raise NetworkError(f"{here}; copy the folder and name the copy instead, or overwrite it with --force")
    check_writable(path)
    return path


def save_calibration(
    folder: Path,
    policy: str,
    evidence: CalibrationManifest,
    scales: ScalesManifest | None = None,
    *,
    force: bool = False,
) -> Path:
    """Write a policy's threshold for the smallest bound, and its evidence, into `network.toml`; keep the rest.

    `scales` are written as well, if the calibration used them. Returns the file, and raises as `check_saving` does.
    """

    def change(document: tomlkit.TOMLDocument) -> None:
        document.setdefault("thresholds", tomlkit.table())[policy] = evidence.points[0].threshold
        document.setdefault("calibration", tomlkit.table(is_super_table=True))[policy] = _as_toml(evidence)
        if scales is not None:
            document["scales"] = scales.model_dump(exclude_none=True)

    return _edit(folder, change, force=force)


def save_scales(folder: Path, scales: ScalesManifest, *, force: bool = False) -> Path:
    """Write the scales of inputs into `network.toml`; keep the rest.

    Returns the file, and raises as `check_saving` does.
    """

    def change(document: tomlkit.TOMLDocument) -> None:
        document["scales"] = scales.model_dump(exclude_none=True)

    return _edit(folder, change, force=force)


def _edit(folder: Path, change: Callable[[tomlkit.TOMLDocument], None], *, force: bool) -> Path:
    path = check_saving(folder, force=force)
    read_manifest(path)
    document = tomlkit.parse(path.read_bytes().decode("utf-8-sig"))  # from bytes, to keep line ends
    change(document)
    with write_whole(path) as temporary:
        temporary.write_bytes(tomlkit.dumps(document).encode())
        read_manifest(temporary)
    return path


def write_network(
    folder: Path, manifest: Manifest, tensors: Mapping[str, NDArray[np.floating[Any]]], source: Path
) -> None:
    """Write a network folder; copy the files that its embedding names from `source`.

    Each file is written atomically, and `network.toml` last, because a folder without it is no network.
    Raises NetworkError for the folder of a bundled network.
    """
    folder.mkdir(parents=True, exist_ok=True)
    check_saving(folder)
    beside = (manifest.embedding.vocabulary, manifest.embedding.subwords) if manifest.embedding else ()
    for name in filter(None, beside):
        with write_whole(folder / name) as temporary:
            shutil.copyfile(source / name, temporary)
    with write_whole(folder / WEIGHTS) as temporary:
        save_file(dict(tensors), temporary)
    with write_whole(folder / MANIFEST) as temporary:
        content = manifest.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
        temporary.write_text(tomlkit.dumps(content), "utf-8")


def save_network(network: Network, folder: str | Path) -> Path:
    """Write a network as a new network folder, whole or not at all; return the folder.

    Layers of one size are one stack. Raises UsageError for a folder that has content, and NetworkError for a network
    that writes or reads subwords, whose model is in its own folder, or with a layer that runs in reverse only.
    """
    stacks: list[StackManifest] = []
    tensors: dict[str, F32] = {}
    for group in _equal_layers(network.layers):
        prefix = "" if len(group) == len(network.layers) else f"{group[0].name}."
        stacks.append(_stack(network, prefix, group))
        for index, layer in enumerate(group):
            for direction in layer.directions:
                end = f"_l{index}{'_reverse' * direction.reverse}"
                tensors |= {f"{prefix}{name}{end}": array for name, array in direction.arrays.items()}
    same = ("name", "description", "provenance", "metric", "default_trace", "corpus")
    content: dict[str, Any] = {name: getattr(network, name) for name in same}
    content |= {"stacks": stacks, "thresholds": network.thresholds}
    if network.frontend:
        content["frontend"] = network.frontend.name
    if network.scales:
        source = {"trace": "", "trace_digest": "", "sequences": 0, "precision": ""}
        content["scales"] = source | asdict(network.scales)
    if network.embedding:
        tensors["embedding.weight"] = network.embedding.table
        content["embedding"] = {"weight": "embedding.weight"}
    if isinstance(network.head, MeanClassifier | CtcHead):
        tensors |= {"head.weight": network.head.weight, "head.bias": network.head.bias}
        content["head"] = {"kind": "mean-linear", "weight": "head.weight", "bias": "head.bias"}
    if isinstance(network.head, CtcHead):
        content["head"] |= {"kind": "ctc", "labels": network.head.labels}
    with write_new_folder(folder) as temporary, TemporaryDirectory() as beside:
        if words := _words(network):
            Path(beside, VOCABULARY).write_text("\n".join(words) + "\n", "utf-8")
            content["embedding"]["vocabulary"] = VOCABULARY
        write_network(temporary, Manifest.model_validate(content), tensors, Path(beside))
    return Path(folder)


def _words(network: Network) -> tuple[str, ...]:
    """Return the vocabulary of a network; NetworkError for one of subwords."""
    encoder = network.embedding.encoder if network.embedding else None
    if isinstance(network.head, AttentionDecoder) or not isinstance(encoder, Vocabulary | None):
        raise NetworkError(f"{network.name} has subwords, whose model is not kept in it: name its folder instead")
    return encoder.tokens if encoder else ()


def _equal_layers(layers: Sequence[Layer]) -> list[list[Layer]]:
    """Return runs of consecutive layers that one stack of a manifest can hold."""
    groups: list[list[Layer]] = []
    for layer in layers:
        shape = (layer.cell, layer.hidden_size, layer.projection_size, len(layer.directions))
        last = groups[-1][0] if groups else None
        if last and shape == (last.cell, last.hidden_size, last.projection_size, len(last.directions)):
            groups[-1].append(layer)
        else:
            groups.append([layer])
    return groups


def _stack(network: Network, prefix: str, layers: list[Layer]) -> StackManifest:
    first = layers[0]
    if any([d.reverse for d in layer.directions] not in ([False], [False, True]) for layer in layers):
        raise NetworkError(f"{network.name}: a layer runs in reverse only, which a network folder cannot hold")
    return StackManifest(
        prefix=prefix,
        cell=first.cell.name,
        input_size=first.input_size,
        hidden_size=first.hidden_size,
        num_layers=len(layers),
        bidirectional=len(first.directions) == 2,
        proj_size=first.projection_size,
    )


def _as_toml(evidence: CalibrationManifest) -> tomlkit.items.Table:
    table = tomlkit.table()
    for key, value in evidence.model_dump(exclude={"points"}, exclude_none=True).items():
        table[key] = value
    points = tomlkit.array().multiline(True)
    for point in evidence.points:
        row = tomlkit.inline_table()
        row.update(point.model_dump(exclude_none=True))
        points.append(row)
    table["points"] = points
    return table
