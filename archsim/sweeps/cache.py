"""Cache of inference runs and baselines on disk, by a digest of everything that determines them."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from archsim.activity import ActivityRecord, DecisionKind, PassShape, pass_shapes
from archsim.errors import ArchsimError, UnknownNameError
from archsim.experiment.run_config import RunConfig
from archsim.experiment.serialization import StoredRun, restore_run, store_run
from archsim.experiment.simulated_run import Baseline
from archsim.experiment.stages import Stages
from archsim.files import write_whole
from archsim.inference.batch_runner import NOTHING, Keep
from archsim.inference.run import InferenceResult
from archsim.inference.workload import CACHE_BYTES, Workload
from archsim.ir.network import Network
from archsim.kernels.arrays import I64, U8
from archsim.sealed import blank_seal, is_sealed, seal
from archsim.task_metrics.metrics import METRICS, Metric
from archsim.traceio.trace import Trace

_KINDS: dict[str, DecisionKind] = {kind: kind for kind in get_args(DecisionKind)}
PLAIN = "plain."
"""Prefix of the tensors of the run without reuse, in the file of a policy's run."""


class CachedStages(Stages):
    """Stages that read a result from a folder if it is there, and write it there if not.

    A file that was damaged, or written for another digest, is made anew. A folder that cannot be written costs only
    time. `notes` collects a message about either.
    """

    def __init__(self, config: RunConfig, folder: Path, *, threads: int | None = None) -> None:
        super().__init__(config, threads=threads)
        self.folder = folder
        self.notes: list[str] = []

    @property
    def workload(self) -> Workload:
        """Workload of the previous task if network, trace and precision are the same, else a new one."""
        return _cached_workload(self.config.network, self.config.trace, self.config.precision)

    def inference(self, keep: Keep = NOTHING) -> InferenceResult:
        """Return decisions, scores and output change; outputs and predictions are not cached."""
        digest = self.config.inference_digest
        path = pass_path(self.folder, digest)
        result = _read_pass(path, self.config) if self._holds(path, digest) else None
        if result is None:
            result = super().inference(NOTHING)
            self._keep(path, digest, partial(_pass_bytes, result))
        return result

    def baseline(self, inference: InferenceResult) -> Baseline:
        """Return the baseline; its times and actions are cached, the end of each step is not."""
        digest = self.config.baseline_digest
        path = baseline_path(self.folder, digest)
        run = _read_baseline(path) if self._holds(path, digest) else None
        if run is None:
            baseline = super().baseline(inference)
            self._keep(path, digest, partial(_baseline_bytes, store_run(baseline.simulated)))
            return baseline
        simulated = restore_run(run, self.config.baseline_arch, self.config.technology)
        return Baseline(digest, inference.without_reuse or inference, simulated)

    def _holds(self, path: Path, digest: str) -> bool:
        """Return whether a file is there, for this digest, and undamaged; note a file that is not."""
        if is_sealed(path, digest):
            return True
        if path.exists():
            self.notes.append(f"{path}: damaged, or made for something else, so it is made again")
        return False

    def _keep(self, path: Path, digest: str, content: Callable[[str], bytes]) -> None:
        """Write a file for later tasks; `content` returns its bytes with a blank seal in them."""
        try:
            with write_whole(path) as temporary:
                temporary.write_bytes(content(blank_seal(digest)))
                seal(temporary, digest)
        except (ArchsimError, OSError) as error:
            self.notes.append(
                f"{self.folder}: shared results cannot be cached, so the sweep takes longer: {_reason(error)}"
            )


# One workload is enough, because the plan puts tasks of one workload one after the other.
@lru_cache(1)
def _cached_workload(network: Network, trace: Trace, precision: str) -> Workload:
    return Workload(network, trace, precision=precision, cache_bytes=CACHE_BYTES)


def pass_path(folder: Path, digest: str) -> Path:
    """Return the path of the inference run with this digest."""
    return folder / f"{digest}.pass.safetensors"


def baseline_path(folder: Path, digest: str) -> Path:
    """Return the path of the baseline with this digest."""
    return folder / f"{digest}.baseline.json"


def _reason(error: Exception) -> str:
    """Return why a file cannot be written, without its name, so that many files give one message."""
    cause = error.__cause__ or error
    return (cause.strerror if isinstance(cause, OSError) else None) or str(cause)


def _baseline_bytes(run: StoredRun, blank: str) -> bytes:
    return json.dumps({"seal": blank, "run": run.model_dump()}).encode()


def _read_baseline(path: Path) -> StoredRun | None:
    try:
        return StoredRun.model_validate(json.loads(path.read_bytes())["run"])
    except (OSError, ValidationError, ValueError, KeyError, TypeError):
        return None


def _pass_bytes(result: InferenceResult, blank: str) -> bytes:
    plain = result.without_reuse
    tensors = _tensors(result) | ({f"{PLAIN}{name}": array for name, array in _tensors(plain).items()} if plain else {})
    about = {
        "metric": result.metric.name if result.metric else "",
        "reuses": json.dumps(result.activity.reuses),
        "kind": result.activity.kind,
        "output_change": json.dumps(result.output_change),
        "seal": blank,
    }
    return save(tensors, about)


def _tensors(result: InferenceResult) -> dict[str, U8 | I64]:
    """Return steps, decisions and scores of a run, by tensor name."""
    activity, tensors = result.activity, dict[str, U8 | I64]()
    for shape in activity.shapes:
        name = f"{shape.layer}.{shape.direction}"
        tensors[f"steps.{name}"] = np.array(activity.steps(shape), np.int64)
        if activity.reuses:
            tensors[f"bits.{name}"] = np.concatenate(activity.bits[shape.pass_key])
    if result.statistics is not None:
        tensors["statistics"] = result.statistics
    return tensors


def _read_pass(path: Path, config: RunConfig) -> InferenceResult | None:
    try:
        with safe_open(path, "numpy") as file:
            about = file.metadata() or {}
            tensors: dict[str, Any] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        shapes = pass_shapes(config.network)
        metric = METRICS.get(about["metric"]) if about["metric"] else None
        if about["reuses"] == "false":
            return _plain_result(shapes, tensors, metric, "", json.loads(about["output_change"]))
        kind = _KINDS[about["kind"]]
        bits = {shape.pass_key: _split(tensors, shape, kind) for shape in shapes}
        return InferenceResult(
            ActivityRecord(shapes, bits, kind=kind),
            outputs=None,
            predictions=None,
            metric=metric,
            statistics=tensors["statistics"] if metric else None,
            without_reuse=_plain_result(shapes, tensors, metric, PLAIN),
            output_change=json.loads(about["output_change"]),
        )
    except (OSError, SafetensorError, KeyError, ValueError, UnknownNameError):
        return None


def _plain_result(
    shapes: tuple[PassShape, ...],
    tensors: dict[str, Any],
    metric: Metric | None,
    prefix: str,
    output_change: float | None = None,
) -> InferenceResult:
    """Return the run without reuse whose tensor names begin with `prefix`."""
    steps = {s.pass_key: tensors[f"{prefix}steps.{s.layer}.{s.direction}"].tolist() for s in shapes}
    statistics = tensors[f"{prefix}statistics"] if metric else None
    activity = ActivityRecord.without_reuse(shapes, steps)
    return InferenceResult(activity, None, None, metric, statistics, output_change=output_change)


def _split(tensors: dict[str, Any], shape: PassShape, kind: DecisionKind) -> list[U8]:
    """Return the decisions of a pass, one array per sequence; raise ValueError for sizes that do not agree."""
    name = f"{shape.layer}.{shape.direction}"
    bits, steps = tensors[f"bits.{name}"], tensors[f"steps.{name}"]
    if bits.shape != (steps.sum(), shape.bytes_per_step(kind)) or bits.dtype != np.uint8:
        raise ValueError(f"pass {name} has decisions {bits.dtype} {bits.shape}")
    return np.split(bits, np.cumsum(steps)[:-1])
