"""Malformed trace files and weights."""

from __future__ import annotations

import io
import json
import os
import struct
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from archsim.ir.tensors import read_weights
from archsim.traceio.files import read_trace
from malformed import Case

META = b'{"kind": "frames", "name": "x"}'


def utf8(text: bytes) -> np.ndarray:
    return np.frombuffer(text, np.uint8)


GOOD: dict[str, Any] = {
    "format": np.array(1),
    "meta": utf8(META),
    "data": np.arange(12, dtype=np.float32).reshape(4, 3),
    "lengths": np.array([3, 1]),
}
DATA, LENGTHS = GOOD["data"], GOOD["lengths"]
HUGE = 1 << 40
ARRAYS: list[tuple[dict[str, Any], str]] = [
    ({"format": None}, "array 'format' is missing"), ({"meta": None}, "array 'meta' is missing"),
    ({"data": None}, "array 'data' is missing"), ({"lengths": None}, "array 'lengths' is missing"),
    ({"format": np.array(2)}, "format is 2"), ({"format": np.array([1])}, "format is"), ({"format": np.array(1.0)}, "format"),
    ({"format": np.array(True)}, "format is of type bool"), ({"format": np.array(2**63, np.uint64)}, "format is 9223"),
    ({"data": DATA[0]}, "data is float32 of shape"), ({"data": DATA[None]}, "data is float32 of shape"),
    ({"data": DATA.astype(np.int32)}, "data is int32"), ({"data": np.float32(1)}, "data is float32 of shape"),
    ({"data": DATA > 3}, "data is of type bool"), ({"data": DATA.astype(np.complex64)}, "type complex64"),
    ({"data": DATA.astype("S4")}, "type .S4"), ({"data": DATA[:0]}, "data is empty"), ({"data": DATA[:, :0]}, "is empty"),
    ({"data": DATA * np.float32(np.nan)}, "input 0 is nan"), ({"data": np.full((4, 3), np.inf)}, "input 0 is inf"),
    ({"data": np.full((4, 3), 1e300)}, "input 0 is 1e.300"), ({"lengths": np.array([3.0, 1.0])}, "lengths is float64"),
    ({"lengths": np.array([3, 2])}, "lengths add up to 5"), ({"lengths": np.array([5, -1])}, "need one whole number >= 1"),
    ({"lengths": np.array([4, 0])}, "need one whole number >= 1"), ({"lengths": np.array(4)}, "lengths is int64 of shape"),
    ({"lengths": np.array([[3, 1]])}, "lengths is int64 of shape"), ({"lengths": LENGTHS[:0]}, "lengths is"),
    ({"lengths": LENGTHS > 2}, "lengths is of type bool"), ({"lengths": np.array([2**62] * 4)}, "add up to 18446744073709551616"),
    ({"lengths": np.array([2**63, 2**63 + 4], np.uint64)}, "lengths add up to 18446744073709551620"),
    ({"targets": np.array([1])}, "1 targets for 2 sequences"), ({"targets": np.array([0.5, 1])}, "targets have shape"),
    ({"targets": np.array([[1], [2]])}, "targets have shape"), ({"targets": np.array([True, False])}, "targets is of type bool"),
    ({"texts": utf8(b"one")}, "1 targets for 2 sequences"), ({"texts": utf8(b"a\n\xff")}, "not UTF-8"),
    ({"texts": np.array([1, 2])}, "text is held as int64"), ({"meta": utf8(b"{")}, "meta is not JSON"),
    ({"meta": utf8(b"[]")}, "does not name the kind"), ({"meta": utf8(b"3")}, "does not name the kind"),
    ({"meta": utf8(b"null")}, "does not name the kind"), ({"meta": utf8(b'"x"')}, "does not name the kind"),
    ({"meta": utf8(b"\xff")}, "not UTF-8"), ({"meta": utf8(b"[" * 100_000)}, "meta is not JSON"),
    ({"meta": utf8(b'{"kind": ' + b"9" * 5000 + b"}")}, "meta is not JSON"), ({"meta": utf8(b"")}, "meta is not JSON"),
    ({"meta": utf8(b'{"kind": "frame"}')}, "does not name the kind"), ({"meta": utf8(b'{"kind": {}}')}, "the kind"),
    ({"meta": utf8(b'{"kind": "frames", "name": 3}')}, "name is a int"), ({"meta": np.array(3)}, "text is held as int64"),
    ({"meta": utf8(b'{"kind": "frames", "description": []}')}, "description is a list"),
    ({"meta": utf8(b'{"kind": "frames", "provenance": null}')}, "provenance is a NoneType"),
    ({"meta": utf8(META)[None]}, "text is held as uint8 of shape"), ({"meta": utf8(b'{"kind": "tokens"}')}, "which is not tokens"),
    ({"meta": utf8(b'{"kind": "text"}')}, "which is not text"), ({"meta": utf8(b'{"kind": "audio"}')}, "which is not audio"),
]  # fmt: skip
AUDIO = {"meta": b'{"kind": "audio"}', "data": np.ones(4, np.int16)}
RATES = ["9" * 400, "null", "0", "-1", "8000.0", '"8000"', "true", "[8000]", "1e999"]
ARRAYS += [
    (
        {"meta": utf8(b'{"kind": "audio", "sample_rate_hz": ' + rate.encode() + b"}"), "data": AUDIO["data"]},
        "sample_rate_hz =",
    )
    for rate in RATES
]
ARRAYS += [
    ({"meta": utf8(b'{"kind": "audio", "sample_rate_hz": 8000}'), "data": np.ones(4, np.int32)}, "need int16 samples"),
    ({"meta": utf8(b'{"kind": "frames", "sample_rate_hz": "x"}')}, "sample_rate_hz is for audio"),
    ({"meta": utf8(b'{"kind": "tokens"}'), "data": np.ones(4)}, "which is not tokens"),
    ({"meta": utf8(b'{"kind": "text"}'), "data": utf8(b"ab \xff")}, "not UTF-8"),
    ({"meta": utf8(b'{"kind": "text"}'), "data": utf8(b"   b")}, "need a text that is not blank"),
]


def npz(folder: Path, changes: dict[str, Any]) -> Path:
    arrays = {name: array for name, array in (GOOD | changes).items() if array is not None}
    np.savez(folder / "t.npz", **arrays)
    return folder / "t.npz"


def h5(folder: Path, changes: dict[str, Any]) -> Path:
    with h5py.File(folder / "t.h5", "w") as file:
        for name, array in (GOOD | changes).items():
            if array is not None:
                file[name] = array
    return folder / "t.h5"


def npy_header(shape: str, descr: str = "'<f4'", order: str = "False") -> bytes:
    """Return the beginning of a .npy file that claims a given type, order and shape."""
    text = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text) + 1) + text + b"\n"


def member(folder: Path, content: bytes, method: int = zipfile.ZIP_DEFLATED) -> Path:
    """Return a trace file whose array `data` has this content."""
    path = npz(folder, {"data": None})
    with zipfile.ZipFile(path, "a", method) as archive:
        archive.writestr("data.npy", content)
    return path


def npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def patched(folder: Path, old: bytes, new: bytes, at_end: bool = False) -> Path:
    """Return a trace file with the first or the last of some bytes replaced."""
    path = member(folder, npy(DATA), zipfile.ZIP_STORED)
    data = path.read_bytes()
    at = data.rindex(old) if at_end else data.index(old)
    path.write_bytes(data[:at] + new + data[at + len(old) :])
    return path


def broken_stream(folder: Path) -> Path:
    path = member(folder, npy(np.random.default_rng(0).standard_normal((400, 3)).astype(np.float32)))
    data = bytearray(path.read_bytes())
    at = data.rindex(b"data.npy", 0, data.rindex(b"PK\x01\x02")) + 40
    data[at : at + 40] = b"\xff" * 40
    path.write_bytes(data)
    return path


def encrypted(folder: Path) -> Path:
    path = member(folder, npy(DATA), zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    central = data.rindex(b"PK\x01\x02")
    local = data.rindex(b"PK\x03\x04")
    data[central + 8] |= 1
    data[local + 6] |= 1
    path.write_bytes(data)
    return path


def twice(folder: Path) -> Path:
    import warnings

    path = npz(folder, {})
    with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("data.npy", npy(DATA))
    return path


def written(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).write_bytes(content)
    return folder / name


def cut(path: Path, keep: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    return path


class Evil:
    def __reduce__(self):
        return os.system, ("touch pwned",)


def pickled(folder: Path) -> Path:
    out = io.BytesIO()
    np.save(out, np.array([Evil()], object), allow_pickle=True)
    return member(folder, out.getvalue())


ARCHIVES = {
    "a petabyte": (lambda f: member(f, npy_header(f"({HUGE}, 256)")), "data: its header says"),
    "more than 64 bits": (lambda f: member(f, npy_header("(1" + "0" * 40 + ", 3)")), "data: its header says"),
    "a petabyte of zeros": (lambda f: member(f, npy_header("(2500, 100000)") + bytes(1 << 20)), "header says"),
    "negative sizes": (lambda f: member(f, npy_header("(-4, 3)") + bytes(48)), "need sizes >= 0"),
    "too many data": (lambda f: member(f, npy(DATA) + b"x"), "not of that size"),
    "too few data": (lambda f: member(f, npy(DATA)[:-1]), "data"), "no header": (lambda f: member(f, b"x"), "data is damaged"),
    "an empty member": (lambda f: member(f, b""), "data is damaged"), "version 9": (lambda f: member(f, b"\x93NUMPY\x09\x00"), "version"),
    "version 3": (lambda f: member(f, b"\x93NUMPY\x03\x00" + bytes(60)), "version"),
    "a header that is code": (lambda f: member(f, npy_header("__import__('os')")), "data is damaged"),
    "a deep header": (lambda f: member(f, npy_header("(" * 5000 + ")" * 5000)), "data is damaged"),
    "a long header": (lambda f: member(f, npy_header("(" + "1," * 30000 + ")")), "data is damaged"),
    "a type that is none": (lambda f: member(f, npy_header("(4, 3)", "'x9'")), "data is damaged"),
    "records": (lambda f: member(f, npy_header("(4,)", "[('a', '<f4')]") + bytes(16)), "of records"),
    "subarrays": (lambda f: member(f, npy_header("(4,)", "('<f4', (3,))") + bytes(48)), "data"),
    "dates": (lambda f: member(f, npy(np.zeros(4, "datetime64[s]"))), "type datetime64"),
    "long doubles": (lambda f: member(f, npy(np.zeros((4, 3), np.longdouble))), "at most 64 bits"),
    "words": (lambda f: member(f, npy(np.array([["a"]]))), "type <U1"), "objects": (pickled, "pickled objects, which are never read"),
    "a truth as a size": (lambda f: member(f, npy_header("(True, 8)") + bytes(32)), "need whole numbers"),
    "a header never closed": (lambda f: member(f, npy_header("(" * 900)), "data is damaged"),
    "a header of Python 2": (lambda f: member(f, npy_header("(4L, 3L)") + bytes(48)), "data is damaged"),
    "a type that is going": (lambda f: member(f, npy_header("(4,)", "'|a8'") + bytes(32)), "data"),
    "much of nothing": (lambda f: member(f, npy_header(f"({1 << 23}, 3)") + bytes(3 << 25)), "data claims .* bytes and holds"),
    "65 dimensions": (lambda f: member(f, npy_header("(" + "1," * 65 + ")") + bytes(4)), "data is damaged"),
    "nothing times too much": (lambda f: member(f, npy_header("(0, 1" + "0" * 30 + ")")), "data is damaged"),
    "many records": (lambda f: member(f, npy(np.zeros(2, [(f"f{i}", "f4") for i in range(50)]))), "is of records"),
    "a missing key": (lambda f: member(f, npy_header("(4, 3)").replace(b"'shape'", b"'shap2'")), "data is damaged"),
    "an order that is none": (lambda f: member(f, npy_header("(4, 3)", order="3") + bytes(48)), "data is damaged"),
    "bzip2": (lambda f: member(f, npy(DATA), zipfile.ZIP_BZIP2), "packed by method 12"),
    "lzma": (lambda f: member(f, npy(DATA), zipfile.ZIP_LZMA), "packed by method 14"),
    "a broken stream": (broken_stream, "data is damaged"), "a locked member": (encrypted, "data is encrypted"),
    "a wrong checksum": (lambda f: patched(f, DATA.tobytes(), DATA[::-1].tobytes()), "data is damaged"),
    "another name inside": (lambda f: patched(f, b"data.npy", b"dato.npy"), "data is damaged|not a whole"),
    "an array twice": (twice, "data.npy occurs twice"), "a megabyte of zeros": (lambda f: member(f, npy(np.zeros((1 << 20, 3), np.float32))), "lengths add up"),
    "not a zip": (lambda f: written(f, "t.npz", b"no"), "not a whole .npz"), "nothing": (lambda f: written(f, "t.npz", b""), "not a whole"),
    "one .npy": (lambda f: written(f, "t.npz", npy(DATA)), "not a whole .npz"), "half": (lambda f: cut(npz(f, {}), 0.5), "not a whole .npz"),
    "most": (lambda f: cut(npz(f, {}), 0.95), "not a whole .npz"), "no array": (lambda f: npz(f, dict.fromkeys(GOOD)), "missing"),
    "a folder": (lambda f: f, "is a folder"), "not there": (lambda f: f / "t.npz", "no such file"),
    "a device": (lambda f: Path("/dev/zero"), "is a pipe or a device"), "a long name": (lambda f: f / ("n" * 300 + ".npz"), "cannot be a file"),
}  # fmt: skip


def with_dataset(folder: Path, make) -> Path:
    """Return a trace file whose array `data` is made by `make(file)`."""
    path = h5(folder, {"data": None})
    with h5py.File(path, "a") as file:
        make(file)
    return path


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4, 3), np.float32)
    layout[:] = h5py.VirtualSource("other.h5", "data", (4, 3))
    file.create_virtual_dataset("data", layout)


def never_written(file: h5py.File) -> None:
    file.create_dataset("data", (HUGE, 256), np.float32, chunks=(1024, 256))


def hardly_written(file: h5py.File) -> None:
    dataset = file.create_dataset("data", (1 << 30, 3), np.float32, chunks=(1024, 3), compression="gzip")
    dataset[0] = 1


def partly_written(file: h5py.File) -> None:
    dataset = file.create_dataset("data", (4, 3), np.float32, chunks=(1, 3))
    dataset[0] = 1


def large_chunks(file: h5py.File) -> None:
    file.create_dataset("data", (4, 3), np.float32, chunks=(1 << 23, 3), maxshape=(None, 3), compression="gzip")
    file["data"][:] = 1


def of_another_filter(file: h5py.File) -> None:
    file.create_dataset("data", (4, 3), np.float32, chunks=(4, 3), scaleoffset=3)
    file["data"][:] = 1


def in_another_file(file: h5py.File) -> None:
    file.create_dataset("data", (4, 3), np.float32, external=[("/etc/hostname", 0, 48)])


def of_time(file: h5py.File) -> None:
    space = h5py.h5s.create_simple((4,))
    h5py.h5d.create(file.id, b"data", h5py.h5t.UNIX_D32LE, space)


def of_references(file: h5py.File) -> None:
    file.create_dataset("data", (4,), h5py.ref_dtype)


DATASETS = {
    "a soft link": (lambda h: h.__setitem__("data", h5py.SoftLink("/lengths")), "data is a link"),
    "a link to nothing": (lambda h: h.__setitem__("data", h5py.SoftLink("/x")), "data is a link"),
    "another file": (lambda h: h.__setitem__("data", h5py.ExternalLink("other.h5", "/data")), "data is a link"),
    "a device": (lambda h: h.__setitem__("data", h5py.ExternalLink("/dev/zero", "/data")), "data is a link"),
    "virtual": (virtual, "data keeps its data in other files"), "external": (in_another_file, "data keeps its data in other"),
    "never written": (never_written, "data claims 1125899906842624 bytes and holds 0"),
    "partly written": (partly_written, "parts of it were never written"),
    "large chunks": (large_chunks, "data: its chunks claims 100663296 bytes"),
    "another filter": (of_another_filter, "packed by filter 6"),
    "hardly written": (hardly_written, "data claims 12884901888 bytes"), "a group": (lambda h: h.create_group("data"), "is a group"),
    "null": (lambda h: h.create_dataset("data", data=h5py.Empty("f4")), "data is empty"), "time": (of_time, "data cannot be read"),
    "references": (of_references, "data holds texts, references"),
    "strings": (lambda h: h.create_dataset("data", data=["a", "b"]), "data holds texts, references"),
    "fixed strings": (lambda h: h.create_dataset("data", data=np.array([b"a"])), "of type"),
    "records": (lambda h: h.create_dataset("data", (4,), [("a", "f4")]), "of records"),
    "an enumeration": (
        lambda h: h.create_dataset("data", data=[0, 1], dtype=h5py.enum_dtype({"a": 0, "b": 1})),
        "data holds texts, references or names of numbers",
    ),
    "truths": (lambda h: h.create_dataset("data", data=DATA > 3), "type bool"),
    "complex": (lambda h: h.create_dataset("data", data=DATA.astype(complex)), "type complex128"),
    "opaque": (lambda h: h.create_dataset("data", data=np.zeros(4, "V8")), "of type"),
    "ragged": (lambda h: h.create_dataset("data", (4,), h5py.vlen_dtype(np.float32)), "data holds texts, references"),
    "a committed type": (lambda h: h.__setitem__("data", np.dtype("f4")), "is a group|cannot be read"),
}  # fmt: skip
FILES_H5 = {
    "not hdf5": (lambda f: written(f, "t.h5", b"no"), "not a readable .h5"), "nothing": (lambda f: written(f, "t.h5", b""), "not a readable"),
    "half": (lambda f: cut(h5(f, {}), 0.5), "not a readable .h5|cannot be read"), "only its mark": (lambda f: written(f, "t.h5", b"\x89HDF\r\n\x1a\n"), "not a readable"),
    "no array": (lambda f: h5(f, dict.fromkeys(GOOD)), "missing"),
}  # fmt: skip


def safetensors(header: Any, data: bytes = bytes(64), *, length: int | None = None) -> bytes:
    """Return a file of weights with this header, whose length field may be overridden."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def tensor(dtype: str = "F32", shape: Any = (4, 4), offsets: Any = (0, 64)) -> dict[str, Any]:
    return {"w": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


OTHER_TYPES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "F8_E8M0": 1, "I16": 2, "U16": 2,
    "I32": 4, "U32": 4, "I64": 8, "U64": 8, "C64": 8,
}  # fmt: skip
WEIGHTS: dict[str, tuple[bytes, str]] = {
    **{
        f"of type {name}": (safetensors(tensor(name, (64 // size,))), f"tensor 'w' is of type {name}, accepted: F16, BF16")
        for name, size in OTHER_TYPES.items()
    },
    "too large for float32": (safetensors(tensor("F64", (8,)), np.full(8, 1e300).tobytes()), "tensor 'w' holds 1e.300"),
    "nothing": (b"", "not a readable safetensors"), "seven bytes": (bytes(7), "not a readable"), "zeros": (bytes(64), "not a readable"),
    "a petabyte of header": (safetensors({}, length=1 << 50), "not a readable"), "64 bits of header": (b"\xff" * 80, "not a readable"),
    "no JSON": (safetensors(b"nope"), "not a readable"), "a list": (safetensors([1]), "not a readable"), "deep": (safetensors(b"[" * 9999), "not a readable"),
    "not UTF-8": (safetensors(b'{"\xff": 1}'), "not a readable"), "an unknown type": (safetensors(tensor("F99")), "not a readable"),
    "too few data": (safetensors(tensor(), bytes(63)), "not a readable"), "too many data": (safetensors(tensor(), bytes(65)), "not a readable"),
    "another shape": (safetensors(tensor(shape=(4, 5))), "not a readable"), "a negative shape": (safetensors(tensor(shape=(-4, -4))), "not a readable"),
    "a huge shape": (safetensors(tensor(shape=(1 << 62, 1 << 62))), "not a readable"), "offsets turned round": (safetensors(tensor(offsets=(64, 0))), "not a readable"),
    "offsets beyond": (safetensors(tensor(offsets=(64, 128))), "not a readable"), "no shape": (safetensors({"w": {"dtype": "F32"}}), "not a readable"),
    "100 dimensions": (safetensors(tensor(shape=[1] * 100, offsets=(0, 4)), bytes(4)), "tensor 'w' has 100 dimensions"),
    "nothing times too much": (safetensors(tensor(shape=(0, 1 << 62), offsets=(0, 0)), b""), "not a readable|dimensions"),
    "a pickle": (b"\x80\x04\x95" + bytes(80), "not a readable"), "a zip": (b"PK\x03\x04" + bytes(80), "not a readable"),
}  # fmt: skip


def trace_case(kind: str, name: str, place, says: str) -> Case:
    def make(folder: Path):
        path = place(folder)
        return lambda: read_trace(path)

    return Case(f"{kind}-{name}", make, says)


def weights_case(name: str, content: bytes, says: str) -> Case:
    def make(folder: Path):
        path = written(folder, "weights.safetensors", content)
        return lambda: read_weights(path)

    return Case(f"weights-{name}", make, f"weights.safetensors.*{says}")


CASES = [
    *(
        trace_case("npz", f"array {n}", lambda f, c=c: npz(f, c), f"t.npz: .*{says}")
        for n, (c, says) in enumerate(ARRAYS)
    ),
    *(
        trace_case("h5", f"array {n}", lambda f, c=c: h5(f, c), f"t.h5: .*{says}")
        for n, (c, says) in enumerate(ARRAYS[::3])
    ),
    *(trace_case("npz", name, place, says) for name, (place, says) in ARCHIVES.items()),
    *(trace_case("h5", name, lambda f, m=make: with_dataset(f, m), says) for name, (make, says) in DATASETS.items()),
    *(trace_case("h5", name, place, says) for name, (place, says) in FILES_H5.items()),
    *(weights_case(name, *refusal) for name, refusal in WEIGHTS.items()),
]
