"""Trace files: `.npz` without pickles, or `.h5`, with the same named arrays.

data     all sequences end to end: frames (ΣT, I) float32, or float16 if exact; tokens (ΣT,) int64;
         audio (ΣT,) int16; text (Σ,) UTF-8 bytes
lengths  steps (samples, bytes) of each sequence
targets  one class per sequence; or
texts    one text per sequence, as lines of UTF-8 bytes; both are absent if unknown
start_*  initial states (archsim/traceio/starts.py); absent if all are zero
meta     UTF-8 JSON: name, kind, description, provenance, sample_rate_hz
format   version of this layout
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from archsim.errors import TraceError
from archsim.files import check_writable, named_path, write_whole
from archsim.kernels.numerics.fp16 import FP16_MAX
from archsim.reading import require_regular
from archsim.traceio.arrays import SMALL_BYTES, Array, read_h5, read_npz
from archsim.traceio.starts import START_ARRAYS, pack_starts, unpack_starts
from archsim.traceio.trace import UNNAMED, Trace

FORMAT = 1
_REQUIRED = ("format", "meta", "data", "lengths")
_NAMES = (*_REQUIRED, "targets", "texts", *START_ARRAYS)
_NUMPY_NAMES = {"frames": "f", "tokens": "iu", "text": "u", "audio": "i"}
Arrays = dict[str, Array]


def read_trace(path: Path) -> Trace:
    """Read a trace file; TraceError if it is not a valid one."""
    require_regular(path, TraceError, "a trace file")
    arrays = (read_h5 if path.suffix in (".h5", ".hdf5") else read_npz)(path, _NAMES)
    try:
        return _unpack(path, arrays)
    except TraceError as error:
        raise TraceError(f"{path}: {error}") from None


def write_trace(trace: Trace, path: str | Path) -> None:
    """Write a trace as `.npz` or `.h5`, by the suffix of `path`; an interrupted write leaves no file."""
    if not isinstance(trace, Trace):
        raise TraceError(f"write_trace: got a {type(trace).__name__} to write, need write_trace(trace, path)")
    path = named_path(path)
    check_trace_path(path)
    arrays = _pack(trace)
    with write_whole(path) as temporary:
        if path.suffix == ".npz":
            _write_npz(temporary, arrays)
        else:
            import h5py

            with h5py.File(temporary, "w") as file:
                for name, array in arrays.items():
                    # A reader accepts any packing ratio up to this size, so larger arrays are stored unpacked.
                    packing = "gzip" if array.ndim and array.nbytes < SMALL_BYTES else None
                    file.create_dataset(name, data=array, compression=packing, track_times=False)


def check_trace_path(path: Path) -> None:
    """Raise TraceError or UsageError if no trace can be written to `path`; call it before long work."""
    if path.suffix not in (".npz", ".h5", ".hdf5"):
        raise TraceError(f"{path}: unknown trace suffix {path.suffix!r}, accepted: .npz, .h5")
    check_writable(path)


def _pack(trace: Trace) -> Arrays:
    pieces = [_as_bytes(s) if isinstance(s, str) else s for s in trace.sequences]
    meta: dict[str, str | int] = {
        "name": trace.name,
        "kind": trace.kind,
        "description": trace.description,
        "provenance": trace.provenance,
    }
    if trace.sample_rate_hz is not None:
        meta["sample_rate_hz"] = trace.sample_rate_hz
    arrays: Arrays = {
        "format": np.array(FORMAT, np.int64),
        "meta": _as_bytes(json.dumps(meta, sort_keys=True)),
        "data": _smallest(np.concatenate(pieces)),
        "lengths": np.array([len(p) for p in pieces], np.int64),
    }
    if trace.targets is not None:
        if isinstance(trace.targets[0], str):
            arrays["texts"] = _as_bytes("\n".join(str(target) for target in trace.targets))
        else:
            arrays["targets"] = np.array(trace.targets, np.int64)
    return arrays if trace.starts is None else arrays | pack_starts(trace.starts)


def _smallest(data: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return frames as float16 if that holds them exactly, as it does features made for the machine."""
    if data.dtype != np.float32 or np.abs(data).max() > FP16_MAX:
        return data
    half = data.astype(np.float16)
    return half if np.array_equal(half, data) else data


def _unpack(path: Path, arrays: Arrays) -> Trace:
    for name in _REQUIRED:
        if name not in arrays:
            raise TraceError(f"array {name!r} is missing; a trace holds {', '.join(_REQUIRED)} and may hold targets")
    version = arrays["format"]
    if version.shape != () or version.dtype.kind not in "iu" or version != FORMAT:
        raise TraceError(f"format is {version}, this version reads {FORMAT}")
    meta, data, lengths = _read_meta(arrays["meta"]), arrays["data"], arrays["lengths"]
    if data.ndim and not len(data):
        raise TraceError("data is empty, need at least one step")
    if data.dtype.kind not in _NUMPY_NAMES[meta["kind"]] or data.ndim != (2 if meta["kind"] == "frames" else 1):
        raise TraceError(f"data is {data.dtype} of shape {data.shape}, which is not {meta['kind']}")
    if lengths.ndim != 1 or lengths.dtype.kind not in "iu" or lengths.size == 0 or lengths.min() < 1:
        raise TraceError(
            f"lengths is {lengths.dtype} of shape {lengths.shape}, need one whole number >= 1 per sequence"
        )
    # Python integers do not overflow, whatever lengths a damaged file claims.
    total = sum(lengths.tolist())
    if total != len(data):
        raise TraceError(f"lengths add up to {total}, data has {len(data)} rows: they must be equal")
    pieces = np.split(data, np.cumsum(lengths)[:-1])
    targets: Any = _as_text(arrays["texts"]).split("\n") if "texts" in arrays else arrays.get("targets")
    name = path.stem if meta["name"] in ("", UNNAMED) else meta["name"]
    if meta["kind"] == "text":
        trace = Trace.from_texts([_as_text(p) for p in pieces], targets, name=name)
    elif meta["kind"] == "audio":
        trace = Trace.from_audio(pieces, targets, sample_rate_hz=meta["sample_rate_hz"], name=name)
    else:
        trace = Trace.from_arrays(pieces, targets, name=name)
    trace = trace.described(meta["description"], meta["provenance"])
    return trace.starting_in(unpack_starts(arrays)) if any(name in arrays for name in START_ARRAYS) else trace


def _read_meta(array: np.ndarray[Any, Any]) -> dict[str, Any]:
    try:
        meta = json.loads(_as_text(array))
    except (ValueError, RecursionError) as error:
        raise TraceError(f"meta is not JSON: {error}") from None
    if not isinstance(meta, dict) or meta.get("kind") not in list(_NUMPY_NAMES):
        raise TraceError(f"meta does not name the kind of trace, accepted: {', '.join(_NUMPY_NAMES)}")
    texts = {key: meta.get(key, "") for key in ("name", "kind", "description", "provenance")}
    for key, text in texts.items():
        if not isinstance(text, str):
            raise TraceError(f"meta: {key} is a {type(text).__name__}, need a text")
    rate = meta.get("sample_rate_hz")
    if rate is not None and meta["kind"] != "audio":
        raise TraceError(f"meta: sample_rate_hz is for audio, this trace holds {meta['kind']}")
    return texts | {"sample_rate_hz": rate}


def _as_bytes(text: str) -> np.ndarray[Any, Any]:
    return np.frombuffer(text.encode(), np.uint8)


def _as_text(data: np.ndarray[Any, Any]) -> str:
    if data.dtype != np.uint8 or data.ndim != 1:
        raise TraceError(f"text is held as {data.dtype} of shape {data.shape}, need UTF-8 bytes (uint8)")
    try:
        return data.tobytes().decode()
    except UnicodeDecodeError as error:
        raise TraceError(f"text is not UTF-8: {error}") from None


def _write_npz(path: Path, arrays: Arrays) -> None:
    # np.savez stamps members with the time of day, so a fixed date is set to make equal traces equal to the byte.
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array, order="C"), allow_pickle=False)
