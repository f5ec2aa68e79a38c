"""Files of named tensors as other people write them: `.safetensors`, `.npz`, `.pt`. Nothing in them is executed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from archsim.errors import NetworkError, TraceError
from archsim.ir.gate_orders import Array
from archsim.ir.tensors import as_float32, stored_tensors
from archsim.reading import require_regular
from archsim.traceio.arrays import npz_names, read_npz


@dataclass(frozen=True)
class StoredTensor:
    """Tensor of a file, whose numbers are read only if it is wanted."""

    shape: tuple[int, ...]
    """Shape; empty for an array that cannot be read, which `read` gives the reason for."""
    read: Callable[[], Array]
    """Reader that returns the numbers in floating point, or raises NetworkError with file, name and reason."""


Tensors = dict[str, StoredTensor]


def read_tensors(path: Path) -> Tensors:
    """Return the tensors of a file by name; NetworkError says why it cannot be read.

    Suffixes `.safetensors`, `.npz` (never with pickles) and `.pt`, `.pth`, `.bin`, `.ckpt` (torch, weights only).
    """
    if path.suffix not in READERS:
        way_out = WAYS_OUT.get(path.suffix, "")
        raise NetworkError(f"{path}: unknown suffix {path.suffix!r}; accepted: {', '.join(READERS)}, .onnx{way_out}")
    require_regular(path, NetworkError, "a file of weights")
    return READERS[path.suffix](path)


def _read_safetensors(path: Path) -> Tensors:
    return {
        name: StoredTensor(tuple(tensor["shape"]), partial(as_float32, f"{path}: tensor {name!r}", **tensor))
        for name, tensor in stored_tensors(path).items()
    }


def _read_npz(path: Path) -> Tensors:
    try:
        return {name: _npz_tensor(path, name) for name in npz_names(path)}
    except TraceError as error:
        raise NetworkError(str(error)) from None


def _npz_tensor(path: Path, name: str) -> StoredTensor:
    try:
        array = read_npz(path, [name])[name]
    except TraceError as error:
        return StoredTensor((), partial(_raise, str(error)))
    return StoredTensor(array.shape, partial(_floating, f"{path}: array {name!r}", array))


def _read_torch(path: Path) -> Tensors:
    try:
        import torch
    except ModuleNotFoundError:
        raise NetworkError(f"{path} needs torch, which is not installed: pip install 'archsim[train]'") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the reasons of a failure are given below
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises many kinds for damaged files, KeyError and EOFError among them
            raise NetworkError(_reason(path, error)) from None
    tensors = {
        name: StoredTensor(tuple(tensor.shape), partial(_torch_values, f"{path}: tensor {name!r}", tensor))
        for name, tensor in _leaves(content)
        if isinstance(tensor, torch.Tensor)
    }
    if not tensors:
        raise NetworkError(f"{path} holds a {type(content).__name__} without tensors, need a state dict")
    return tensors


READERS: dict[str, Callable[[Path], Tensors]] = {
    ".safetensors": _read_safetensors,
    ".npz": _read_npz,
    **dict.fromkeys((".pt", ".pth", ".bin", ".ckpt"), _read_torch),
}
_OF_KERAS = "; save Keras's weights as np.savez('weights.npz', **{w.path: w.numpy() for w in model.weights})"
WAYS_OUT = {
    **dict.fromkeys((".keras", ".h5", ".hdf5", ".pb", ".tflite"), _OF_KERAS),
    **dict.fromkeys((".jit", ".ts"), "; a TorchScript module goes through torch.jit.load and archsim.from_torch"),
}
"""Way out for files of other suffixes that hold models, as the end of a message."""


def _reason(path: Path, error: Exception) -> str:
    """Return why torch did not load a file; its own words advise to execute what is in it."""
    if "TorchScript" in str(error):
        return (
            f"{path} is a TorchScript archive, which holds code: if you trust it, load it with torch.jit.load and "
            "give the module to archsim.from_torch"
        )
    if "Weights only load failed" in str(error):
        return (
            f"{path} holds pickled objects other than tensors, which are never loaded: save model.state_dict(), or "
            "give the module to archsim.from_torch"
        )
    return f"{path}: not a readable torch file (cut short?): {type(error).__name__}"


def _leaves(content: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield everything in nested dicts with its dotted name; checkpoints keep a state dict beside other things."""
    if not isinstance(content, dict):
        yield prefix.removesuffix("."), content
        return
    for key, value in content.items():
        yield from _leaves(value, f"{prefix}{key}.")


def _torch_values(where: str, tensor: Any) -> Array:
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    if not tensor.is_floating_point():
        raise NetworkError(f"{where} is {tensor.dtype}, need floating point numbers")
    wide = tensor.detach().double() if tensor.dtype.itemsize == 8 else tensor.detach().float()
    try:
        return _floating(where, wide.numpy())
    except (RuntimeError, TypeError) as error:  # of sparse tensors, and of those without values
        raise NetworkError(f"{where} is no plain array: {error}") from None


def _floating(where: str, array: Array) -> Array:
    """Return an array of floating point numbers that float32 can hold."""
    if array.dtype.kind != "f":
        raise NetworkError(f"{where} is {array.dtype}, need floating point numbers")
    with np.errstate(over="ignore"):
        beyond = np.isinf(array.astype(np.float32)) & np.isfinite(array)
    if beyond.any():
        raise NetworkError(f"{where} holds {array[beyond][0]:g}, which float32 cannot hold")
    return array


def _raise(message: str) -> Array:
    raise NetworkError(message)
