"""Feeds of an ONNX model: one dictionary per call, checked against the inputs that the model declares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from archsim.errors import NetworkError, TraceError, did_you_mean
from archsim.importers.onnx_graph import Array, Scope
from archsim.traceio.arrays import read_npz

Feed = dict[str, Array]


class FeedChecker:
    """Inputs of a model by name, with the types and shapes that they need.

    carried: outputs by the input that takes them in the next call; such an input may be left out after the first call.
    """

    def __init__(self, main: Scope, carried: Mapping[str, str]) -> None:
        from onnx import helper

        self.where = str(main.file.path)
        self.carried = carried
        self.inputs = {value.name: value for value in main.graph.input if value.name not in main.initializers}
        types = helper.get_all_tensor_dtypes()
        for name, value in self.inputs.items():
            if value.type.tensor_type.elem_type not in types:
                raise NetworkError(f"{self.where}: input {name!r} is no tensor of a stated type, so it cannot be fed")

    def check(self, feeds: Sequence[Mapping[str, Any]]) -> list[Feed]:
        """Return feeds as arrays of the types that the inputs have.

        Raises TraceError with call and input for a name, type or shape that the model does not take.
        """
        if isinstance(feeds, Mapping) or not isinstance(feeds, Sequence) or not feeds:
            got = "one feed" if isinstance(feeds, Mapping) else repr(feeds)[:40]
            raise TraceError(f"{self.where}: got {got}, need a list of feeds, each a dictionary of {self._names()}")
        checked = []
        for call, feed in enumerate(feeds):
            if not isinstance(feed, Mapping):
                need = f"need a dictionary of {self._names()}"
                raise TraceError(f"{self.where}: call {call}: got a {type(feed).__name__}, {need}")
            unknown = [name for name in feed if name not in self.inputs]
            if unknown:
                near = did_you_mean(unknown[0], self.inputs)
                raise TraceError(f"{self.where}: call {call}: no input {unknown[0]!r}{near}; accepted: {self._names()}")
            for name in self.inputs:
                if name not in feed and not (call and name in self.carried):
                    first = "; the first call of a sequence gives it, zeros as a rule" if name in self.carried else ""
                    need = f"need {self._shape(name)}{first}"
                    raise TraceError(f"{self.where}: call {call}: input {name!r} is missing, {need}")
            checked.append({name: self._checked(call, name, value) for name, value in feed.items()})
        return checked

    def read(self, path: Path) -> list[Feed]:
        """Return the feeds of a `.npz` file, checked: arrays `NAME/0`, `NAME/1`, ... by call, or `NAME` for all calls.

        A state that is carried from call to call may stand there as `NAME`: it is that of the first call only.
        Raises TraceError with the file and the array.
        """
        arrays = read_npz(path)
        by_call: dict[int, Feed] = {}
        for key, array in arrays.items():
            name, _, number = key.rpartition("/")
            if key not in self.inputs:
                if name not in self.inputs or not (number.isascii() and number.isdigit()):
                    near = did_you_mean(name or key, self.inputs)
                    need = f"NAME or NAME/0, NAME/1, ... with NAME one of {self._names()}"
                    raise TraceError(f"{path}: array {key!r} is no input{near}; accepted: {need}")
                by_call.setdefault(int(number), {})[name] = array
        count = max(by_call, default=0) + 1
        if missing := sorted(set(range(count)) - by_call.keys()) if by_call else []:
            raise TraceError(f"{path}: there is a call {count - 1}, but no array of call {missing[0]}")
        feeds = [by_call.get(call, {}) for call in range(count)]
        for name in self.inputs.keys() & arrays.keys():
            for feed in feeds[:1] if name in self.carried else feeds:
                if name in feed:
                    raise TraceError(f"{path}: array {name!r} is for all calls, but there are others of single calls")
                feed[name] = arrays[name]
        return self.check(feeds)

    def _checked(self, call: int, name: str, value: Any) -> Array:
        from onnx import helper

        kind = self.inputs[name].type.tensor_type
        where = f"{self.where}: call {call}: input {name!r}"
        given = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
        dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type)
        if given.dtype != dtype and not _converts(given, dtype):
            raise TraceError(f"{where} is {given.dtype}, need {dtype}")
        sizes = [dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim]
        fits = len(sizes) == given.ndim and all(
            size in (None, axis) for size, axis in zip(sizes, given.shape, strict=True)
        )
        if kind.HasField("shape") and not fits:
            raise TraceError(f"{where} has shape {given.shape}, need {self._shape(name)}")
        return given.astype(dtype)

    def _shape(self, name: str) -> str:
        kind = self.inputs[name].type.tensor_type
        if not kind.HasField("shape"):
            return "an array"
        sizes = [str(dim.dim_value) if dim.HasField("dim_value") else dim.dim_param or "any" for dim in kind.shape.dim]
        return f"shape ({', '.join(sizes)})"

    def _names(self) -> str:
        return ", ".join(self.inputs)


def _converts(given: Array, dtype: np.dtype[Any]) -> bool:
    """Return whether numbers become those of another type without a change of meaning."""
    if given.dtype.kind in "iub" and dtype.kind in "iu":
        return bool((given.astype(dtype) == given).all())
    if dtype.kind == "O":  # texts
        return given.dtype.kind in "UO"
    return given.dtype.kind in "fiu" and dtype.kind == "f"
