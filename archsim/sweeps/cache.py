"""Functional passes and baselines on disk, under a digest of all that decides them, for the points that share them."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from archsim.experiment.setting import Setting
from archsim.experiment.stages import Stages
from archsim.experiment.stored import StoredRun, restored, stored
from archsim.experiment.timed import Baseline
from archsim.files import write_whole
from archsim.functional.run import FunctionalResult, pass_shapes
from archsim.functional.workload import KEEP_BYTES, Workload
from archsim.ir.network import Network
from archsim.kernels.arrays import I64, U8
from archsim.tasks.metrics import METRICS, Metric
from archsim.traceio.activity import ActivityRecord, Kind, PassShape
from archsim.traceio.trace import Trace

PLAIN = "plain."
"""Prefix of the tensors of the run without reuse, in the file of a policy's."""


class CachedStages(Stages):
    """Stages that look into a folder first, and leave there what they make.

    A file that is not what its name says (cut short, another format) is made anew.
    """

    def __init__(self, setting: Setting, folder: Path, *, threads: int | None = None) -> None:
        super().__init__(setting, threads=threads)
        folder.mkdir(exist_ok=True)
        self.folder = folder

    @property
    def workload(self) -> Workload:
        """That of the task before, where network, trace and precision are the same."""
        return _kept_workload(self.setting.network, self.setting.trace, self.setting.precision)

    def functional(self, *, keep_outputs: bool = False) -> FunctionalResult:
        """Return decisions, scores and output change; outputs and answers are not kept."""
        path = pass_path(self.folder, self.setting.functional_digest)
        found = _read_pass(path, self.setting)
        if found is None:
            found = super().functional()
            _write_pass(found, path)
        return found

    def baseline(self, functional: FunctionalResult) -> Baseline:
        """The machine without reuse; what it did is kept, when each of its steps ended is not."""
        path = baseline_path(self.folder, self.setting.baseline_digest)
        try:
            run = StoredRun.model_validate_json(path.read_bytes())
        except (OSError, ValidationError):
            made = super().baseline(functional)
            with write_whole(path) as temporary:
                temporary.write_text(stored(made.timed).model_dump_json())
            return made
        timed = restored(run, self.setting.baseline_machine, self.setting.technology)
        return Baseline(self.setting.baseline_digest, functional.without_reuse or functional, timed)


@lru_cache(1)
def _kept_workload(network: Network, trace: Trace, precision: str) -> Workload:
    return Workload(network, trace, precision=precision, keep_bytes=KEEP_BYTES)


def pass_path(folder: Path, digest: str) -> Path:
    """Where the functional pass of this digest lies."""
    return folder / f"{digest}.pass.safetensors"


def baseline_path(folder: Path, digest: str) -> Path:
    """Where the baseline of this digest lies."""
    return folder / f"{digest}.baseline.json"


def _write_pass(result: FunctionalResult, path: Path) -> None:
    plain = result.without_reuse
    tensors = _tensors(result) | ({f"{PLAIN}{name}": array for name, array in _tensors(plain).items()} if plain else {})
    about = {
        "metric": result.metric.name if result.metric else "",
        "reuses": json.dumps(result.activity.reuses),
        "kind": result.activity.kind,
        "output_change": json.dumps(result.output_change),
    }
    with write_whole(path) as temporary:
        save_file(tensors, temporary, about)


def _tensors(result: FunctionalResult) -> dict[str, U8 | I64]:
    """Return steps, decisions and scores of a run by name."""
    activity, tensors = result.activity, dict[str, U8 | I64]()
    for shape in activity.shapes:
        name = f"{shape.layer}.{shape.direction}"
        tensors[f"steps.{name}"] = np.array(activity.steps(shape), np.int64)
        if activity.reuses:
            tensors[f"bits.{name}"] = np.concatenate(activity.bits[shape.place])
    if result.statistics is not None:
        tensors["statistics"] = result.statistics
    return tensors


def _read_pass(path: Path, setting: Setting) -> FunctionalResult | None:
    try:
        with safe_open(path, "numpy") as file:
            about = file.metadata() or {}
            tensors: dict[str, Any] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        shapes = pass_shapes(setting.network)
        metric = METRICS[about["metric"]] if about["metric"] else None
        if about["reuses"] == "false":
            return _plain_result(shapes, tensors, metric, "", json.loads(about["output_change"]))
        kind: Kind = "columns" if about["kind"] == "columns" else "neurons"
        bits = {shape.place: _split(tensors, shape, kind) for shape in shapes}
        return FunctionalResult(
            ActivityRecord(shapes, bits, kind=kind),
            outputs=None,
            answers=None,
            metric=metric,
            statistics=tensors["statistics"] if metric else None,
            without_reuse=_plain_result(shapes, tensors, metric, PLAIN),
            output_change=json.loads(about["output_change"]),
        )
    except (OSError, SafetensorError, KeyError, ValueError):
        return None


def _plain_result(
    shapes: tuple[PassShape, ...],
    tensors: dict[str, Any],
    metric: Metric | None,
    prefix: str,
    output_change: float | None = None,
) -> FunctionalResult:
    """Return the run without reuse whose tensors' names begin with `prefix`."""
    steps = {s.place: tensors[f"{prefix}steps.{s.layer}.{s.direction}"].tolist() for s in shapes}
    statistics = tensors[f"{prefix}statistics"] if metric else None
    activity = ActivityRecord.without_reuse(shapes, steps)
    return FunctionalResult(activity, None, None, metric, statistics, output_change=output_change)


def _split(tensors: dict[str, Any], shape: PassShape, kind: Kind) -> list[U8]:
    """The decisions of a pass, by sequence; ValueError where sizes do not agree."""
    name = f"{shape.layer}.{shape.direction}"
    bits, steps = tensors[f"bits.{name}"], tensors[f"steps.{name}"]
    if bits.shape != (steps.sum(), shape.bytes_per_step(kind)) or bits.dtype != np.uint8:
        raise ValueError(f"pass {name} has decisions {bits.dtype} {bits.shape}")
    return np.split(bits, np.cumsum(steps)[:-1])
