"""What archsim writes into network folders: calibrations, scales, whole networks."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tomlkit
from numpy.typing import NDArray
from safetensors.numpy import save_file

from archsim.errors import NetworkError
from archsim.files import write_whole
from archsim.ir.folder import MANIFEST, WEIGHTS, read_manifest
from archsim.ir.manifest import CalibrationManifest, Manifest, ScalesManifest
from archsim.reading import read_text


def save_calibration(folder: Path, policy: str, evidence: CalibrationManifest) -> None:
    """Write a policy's threshold for the smallest bound, and its evidence, into `network.toml`; the rest stays."""

    def change(document: tomlkit.TOMLDocument) -> None:
        document.setdefault("thresholds", tomlkit.table())[policy] = evidence.points[0].threshold
        document.setdefault("calibration", tomlkit.table(is_super_table=True))[policy] = _as_toml(evidence)

    _edit(folder, change)


def save_scales(folder: Path, scales: ScalesManifest) -> None:
    """Write how large inputs are into `network.toml`; the rest stays."""

    def change(document: tomlkit.TOMLDocument) -> None:
        document["scales"] = scales.model_dump()

    _edit(folder, change)


def _edit(folder: Path, change: Callable[[tomlkit.TOMLDocument], None]) -> None:
    path = folder / MANIFEST
    read_manifest(path)
    document = tomlkit.parse(read_text(path, NetworkError))
    change(document)
    with write_whole(path) as temporary:
        temporary.write_text(tomlkit.dumps(document), "utf-8")


def write_network(
    folder: Path, manifest: Manifest, tensors: Mapping[str, NDArray[np.floating[Any]]], source: Path
) -> None:
    """Write a network folder, made if need be; the files its embedding names come from `source`.

    Each file is whole or not there, and `network.toml` comes last: without it the folder is no network.
    """
    folder.mkdir(parents=True, exist_ok=True)
    beside = (manifest.embedding.vocabulary, manifest.embedding.subwords) if manifest.embedding else ()
    for name in filter(None, beside):
        with write_whole(folder / name) as temporary:
            shutil.copyfile(source / name, temporary)
    with write_whole(folder / WEIGHTS) as temporary:
        save_file(dict(tensors), temporary)
    with write_whole(folder / MANIFEST) as temporary:
        told = manifest.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
        temporary.write_text(tomlkit.dumps(told), "utf-8")


def _as_toml(evidence: CalibrationManifest) -> tomlkit.items.Table:
    table = tomlkit.table()
    for key, value in evidence.model_dump(exclude={"points"}).items():
        table[key] = value
    points = tomlkit.array().multiline(True)
    for point in evidence.points:
        row = tomlkit.inline_table()
        row.update(point.model_dump())
        points.append(row)
    table["points"] = points
    return table
