"""Functional passes and baselines on disk, under a digest of all that decides them, for the points that share them."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

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
from archsim.policies import Policy
from archsim.tasks.metrics import METRICS
from archsim.traceio.activity import ActivityRecord, Kind, PassShape
from archsim.traceio.trace import Trace


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

    def functional(self, policy: Policy, *, keep_outputs: bool = False) -> FunctionalResult:
        """The decisions and scores of a pass; outputs and answers are not kept."""
        path = pass_path(self.folder, self.setting.functional_digest(policy))
        found = _read_pass(path, self.setting)
        if found is None:
            found = super().functional(policy)
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
        return Baseline(self.setting.baseline_digest, self._without_reuse(functional), timed)


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
    activity = result.activity
    tensors: dict[str, U8 | I64] = {}
    for shape in activity.shapes:
        name = f"{shape.layer}.{shape.direction}"
        tensors[f"steps.{name}"] = np.array(activity.steps(shape), np.int64)
        if activity.reuses:
            tensors[f"bits.{name}"] = np.concatenate(activity.bits[shape.place])
    if result.statistics is not None:
        tensors["statistics"] = result.statistics
    about = {
        "metric": result.metric.name if result.metric else "",
        "reuses": json.dumps(activity.reuses),
        "kind": activity.kind,
    }
    with write_whole(path) as temporary:
        save_file(tensors, temporary, about)


def _read_pass(path: Path, setting: Setting) -> FunctionalResult | None:
    try:
        with safe_open(path, "numpy") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        shapes = pass_shapes(setting.network)
        if about["reuses"] == "true":
            kind: Kind = "columns" if about["kind"] == "columns" else "neurons"
            bits = {shape.place: _split(tensors, shape, kind) for shape in shapes}
            activity = ActivityRecord(shapes, bits, kind=kind)
        else:
            steps = {s.place: tensors[f"steps.{s.layer}.{s.direction}"].tolist() for s in shapes}
            activity = ActivityRecord.without_reuse(shapes, steps)
        metric = METRICS[about["metric"]] if about["metric"] else None
        return FunctionalResult(activity, None, None, metric, tensors["statistics"] if metric else None)
    except (OSError, SafetensorError, KeyError, ValueError):
        return None


def _split(tensors: dict[str, U8 | I64], shape: PassShape, kind: Kind) -> list[U8]:
    """The decisions of a pass, by sequence; ValueError where sizes do not agree."""
    name = f"{shape.layer}.{shape.direction}"
    bits, steps = tensors[f"bits.{name}"], tensors[f"steps.{name}"]
    if bits.shape != (steps.sum(), shape.bytes_per_step(kind)) or bits.dtype != np.uint8:
        raise ValueError(f"pass {name} has decisions {bits.dtype} {bits.shape}")
    return np.split(bits, np.cumsum(steps)[:-1])
