"""Writing into network folders: calibrations, scales, whole networks."""

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
from archsim.files import bundled_folder, check_writable, write_whole
from archsim.ir.folder import MANIFEST, WEIGHTS, read_manifest
from archsim.ir.manifest import CalibrationManifest, Manifest, ScalesManifest


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
            document["scales"] = scales.model_dump()

    return _edit(folder, change, force=force)


def save_scales(folder: Path, scales: ScalesManifest, *, force: bool = False) -> Path:
    """Write the scales of inputs into `network.toml`; keep the rest.

    Returns the file, and raises as `check_saving` does.
    """

    def change(document: tomlkit.TOMLDocument) -> None:
        document["scales"] = scales.model_dump()

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


def _as_toml(evidence: CalibrationManifest) -> tomlkit.items.Table:
    table = tomlkit.table()
    for key, value in evidence.model_dump(exclude={"points"}, exclude_none=True).items():
        table[key] = value
    points = tomlkit.array().multiline(True)
    for point in evidence.points:
        row = tomlkit.inline_table()
        row.update(point.model_dump())
        points.append(row)
    table["points"] = points
    return table
